// Command caller makes the calls that stand on standard input, one a line, and writes what came of each.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	a3mailer "a3mailer.internal/sdk"
)

type call struct {
	Operation string
	Arguments []json.RawMessage
	Options   map[string]string
	Key       string
}

var kinds = map[string]error{
	"InvalidRequest": a3mailer.ErrInvalidRequest, "Unauthorized": a3mailer.ErrUnauthorized, "Forbidden": a3mailer.ErrForbidden,
	"NotFound": a3mailer.ErrNotFound, "Conflict": a3mailer.ErrConflict, "PreconditionFailed": a3mailer.ErrPreconditionFailed,
	"RateLimited": a3mailer.ErrRateLimited, "Internal": a3mailer.ErrInternal, "ServiceUnavailable": a3mailer.ErrServiceUnavailable,
}

func main() {
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var one call
		check(json.Unmarshal(line, &one))
		if one.Key == "" {
			one.Key = os.Args[2]
		}
		check(json.NewEncoder(os.Stdout).Encode(made(a3mailer.NewClient(os.Args[1], one.Key), one)))
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func goName(name string) string {
	var words []string
	for _, word := range strings.Split(name, "_") {
		switch word {
		case "csv", "ip":
			words = append(words, strings.ToUpper(word))
		case "ips":
			words = append(words, "IPs")
		default:
			words = append(words, strings.ToUpper(word[:1])+word[1:])
		}
	}
	return strings.Join(words, "")
}

func made(client *a3mailer.Client, one call) map[string]any {
	group, name, _ := strings.Cut(one.Operation, ".")
	method := reflect.ValueOf(client).Elem().FieldByName(goName(group)).MethodByName(goName(name))
	var given []reflect.Value
	for number := 0; number < method.Type().NumIn()-1; number++ {
		value := reflect.New(method.Type().In(number))
		if number < len(one.Arguments) {
			check(json.Unmarshal(one.Arguments[number], value.Interface()))
		}
		given = append(given, value.Elem())
	}
	for option, value := range one.Options {
		given = append(given, reflect.ValueOf(map[string]func(string) a3mailer.Option{
			"if_match": a3mailer.WithIfMatch, "request_id": a3mailer.WithRequestID, "language": a3mailer.WithLanguage,
			"idempotency_key": a3mailer.WithIdempotencyKey,
		}[option](value)))
	}
	results := method.Call(given)
	if strings.HasPrefix(name, "iterate") {
		return walked(results[0])
	}
	err, _ := results[len(results)-1].Interface().(error)
	if err != nil {
		return refused(err)
	}
	if len(results) == 1 {
		return map[string]any{"answer": nil}
	}
	answer := map[string]any{"answer": results[0].Interface()}
	if value := reflect.Indirect(results[0]); value.Kind() == reflect.Struct {
		if etag := value.FieldByName("ETag"); etag.IsValid() {
			answer["etag"] = etag.String()
		}
	}
	return answer
}

func walked(rows reflect.Value) map[string]any {
	all := []any{}
	for rows.MethodByName("Next").Call(nil)[0].Bool() {
		all = append(all, rows.MethodByName("Row").Call(nil)[0].Interface())
	}
	if err, ok := rows.MethodByName("Err").Call(nil)[0].Interface().(error); ok {
		return refused(err)
	}
	return map[string]any{"answer": all}
}

func refused(err error) map[string]any {
	var refusal *a3mailer.APIError
	if !errors.As(err, &refusal) {
		panic(fmt.Sprint("not a refusal: ", err))
	}
	kind := "API"
	for name, one := range kinds {
		if errors.Is(err, one) {
			kind = name
		}
	}
	return map[string]any{"error": map[string]any{
		"kind": kind, "status": refusal.Status, "code": refusal.Code, "message": refusal.Message, "details": refusal.Details,
		"fields": refusal.Fields, "request_id": refusal.RequestID,
	}}
}
