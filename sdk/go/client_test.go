package a3mailer

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// operation is an entry of the one description that all clients are held to.
type operation struct {
	Operation string
	Method    string
	Path      string
	Arguments []json.RawMessage
	Query     map[string]any
	Body      any
	Content   string
	Status    int
	Answer    any
}

func operations(t *testing.T) []operation {
	t.Helper()
	content, err := os.ReadFile("../operations.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []operation
	if err := json.Unmarshal(content, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// reply is what a server says; status 0 hangs up.
type reply struct {
	status  int
	body    any
	headers map[string]string
}

type asked struct {
	method, path string
	query        url.Values
	header       http.Header
	body         string
}

// serving answers in turn (the last reply holds on), and keeps what it was asked.
func serving(t *testing.T, replies ...reply) (*Client, func() []asked) {
	t.Helper()
	var lock sync.Mutex
	var requests []asked
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		lock.Lock()
		requests = append(requests, asked{r.Method, r.URL.EscapedPath(), r.URL.Query(), r.Header, string(content)})
		answer := replies[0]
		if len(replies) > 1 {
			replies = replies[1:]
		}
		lock.Unlock()
		if answer.status == 0 {
			connection, _, _ := w.(http.Hijacker).Hijack()
			connection.Close()
			return
		}
		for name, value := range answer.headers {
			w.Header().Set(name, value)
		}
		w.WriteHeader(answer.status)
		switch body := answer.body.(type) {
		case nil:
		case string:
			io.WriteString(w, body)
		default:
			json.NewEncoder(w).Encode(body)
		}
	}))
	t.Cleanup(server.Close)
	quick := WithRetries(Retries{Most: 3, First: time.Millisecond, Longest: time.Minute})
	return NewClient(server.URL, "key", quick), func() []asked { return requests }
}

func refusal(code string) map[string]any {
	return map[string]any{"error": map[string]any{
		"code": code, "message": "No.", "details": "Why.", "request_id": "req_1",
		"fields": map[string]any{"email": []string{"No."}},
	}}
}

var initialisms = map[string]string{"csv": "CSV", "ip": "IP", "ips": "IPs"}

// goName turns get_info into GetInfo.
func goName(name string) string {
	var words []string
	for _, word := range strings.Split(name, "_") {
		if known, ok := initialisms[word]; ok {
			words = append(words, known)
		} else {
			words = append(words, strings.ToUpper(word[:1])+word[1:])
		}
	}
	return strings.Join(words, "")
}

func method(client *Client, name string) reflect.Value {
	group, rest, _ := strings.Cut(name, ".")
	return reflect.ValueOf(client).Elem().FieldByName(goName(group)).MethodByName(goName(rest))
}

// called calls an operation as its sample says; returns its answer as JSON.
func called(t *testing.T, client *Client, op operation) (any, error) {
	t.Helper()
	function := method(client, op.Operation)
	if !function.IsValid() {
		t.Fatalf("there is no %s", op.Operation)
	}
	var given []reflect.Value
	for number, argument := range op.Arguments {
		value := reflect.New(function.Type().In(number))
		decoder := json.NewDecoder(strings.NewReader(string(argument)))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(value.Interface()); err != nil {
			t.Fatalf("%s: argument %d: %v", op.Operation, number+1, err)
		}
		given = append(given, value.Elem())
	}
	results := function.Call(given)
	err, _ := results[len(results)-1].Interface().(error)
	if len(results) == 1 || err != nil {
		return nil, err
	}
	content, err := json.Marshal(results[0].Interface())
	if err != nil {
		t.Fatal(err)
	}
	var answer any
	return answer, json.Unmarshal(content, &answer)
}

func TestEveryOperationIsOnTheWireWhatTheDescriptionSays(t *testing.T) {
	for _, op := range operations(t) {
		t.Run(op.Operation, func(t *testing.T) {
			client, requests := serving(t, reply{status: op.Status, body: op.Answer})
			answer, err := called(t, client, op)
			if err != nil {
				t.Fatal(err)
			}
			request := requests()[0]
			names := op.Arguments
			target := regexp.MustCompile(`{\w+}`).ReplaceAllStringFunc(op.Path, func(string) string {
				var name string
				if err := json.Unmarshal(names[0], &name); err != nil {
					t.Fatal(err)
				}
				names = names[1:]
				return url.PathEscape(name)
			})
			same(t, "method", request.method, op.Method)
			same(t, "path", request.path, target)
			query := url.Values{}
			for name, value := range op.Query {
				query.Set(name, strings.Trim(asJSON(value), `"`))
			}
			same(t, "query", request.query.Encode(), query.Encode())
			if op.Content != "" {
				same(t, "body", request.body, op.Content)
			} else {
				var body any
				if request.body != "" {
					if err := json.Unmarshal([]byte(request.body), &body); err != nil {
						t.Fatal(err)
					}
				}
				same(t, "body", asJSON(body), asJSON(op.Body))
			}
			same(t, "Idempotency-Key", request.header.Get("Idempotency-Key") != "", op.Method == "POST")
			same(t, "Authorization", request.header.Get("Authorization"), "Bearer key")
			same(t, "answer", asJSON(answer), asJSON(op.Answer))
		})
	}
}

func same[T comparable](t *testing.T, what string, got, wanted T) {
	t.Helper()
	if got != wanted {
		t.Errorf("%s: got %v, wanted %v", what, got, wanted)
	}
}

func asJSON(value any) string {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(err)
	}
	return strings.TrimSpace(text.String())
}

func TestTheClientHasTheOperationsOfTheDescriptionAndNoOthers(t *testing.T) {
	wanted := map[string]bool{}
	for _, op := range operations(t) {
		group, name, _ := strings.Cut(op.Operation, ".")
		wanted[goName(group)+"."+goName(name)] = true
		if op.Query["page"] != nil {
			walk := strings.NewReplacer("list", "iterate", "search", "iterate").Replace(name)
			wanted[goName(group)+"."+goName(walk)] = true
		}
	}
	found := map[string]bool{}
	client := reflect.ValueOf(NewClient("https://a.example", "")).Elem()
	for g := 0; g < client.NumField(); g++ {
		group := client.Field(g).Type()
		for m := 0; m < group.NumMethod(); m++ {
			found[client.Type().Field(g).Name+"."+group.Method(m).Name] = true
		}
	}
	if !reflect.DeepEqual(found, wanted) {
		t.Errorf("got %v\nwanted %v", found, wanted)
	}
}

func TestEveryRefusalHasItsKind(t *testing.T) {
	all := []error{ErrInvalidRequest, ErrUnauthorized, ErrForbidden, ErrNotFound, ErrConflict, ErrPreconditionFailed,
		ErrRateLimited, ErrInternal, ErrServiceUnavailable}
	for status, wanted := range map[int]error{400: ErrInvalidRequest, 401: ErrUnauthorized, 403: ErrForbidden,
		404: ErrNotFound, 405: nil, 409: ErrConflict, 412: ErrPreconditionFailed, 429: ErrRateLimited, 500: ErrInternal,
		502: ErrServiceUnavailable, 503: ErrServiceUnavailable, 504: ErrServiceUnavailable} {
		client, _ := serving(t, reply{status: status, body: refusal("A_WORD")})
		_, err := client.Server.GetInfo(WithRetries(Retries{}))
		var got *APIError
		if !errors.As(err, &got) {
			t.Fatalf("%d: %v", status, err)
		}
		for _, kind := range all {
			same(t, kind.Error(), errors.Is(err, kind), kind == wanted)
		}
		same(t, "status", got.Status, status)
		same(t, "code", got.Code, "A_WORD")
		same(t, "message", got.Message, "No.")
		same(t, "details", got.Details, "Why.")
		same(t, "fields", got.Fields["email"][0], "No.")
		same(t, "request id", got.RequestID, "req_1")
	}
}

func TestAnErrorOfSomethingBetweenIsAnErrorToo(t *testing.T) {
	for _, body := range []string{"<html>", "", "[]", `{"error":"no"}`, `{"error":null}`} {
		client, _ := serving(t, reply{status: 502, body: body})
		_, err := client.Server.GetInfo(WithRetries(Retries{}))
		same(t, body, errors.Is(err, ErrServiceUnavailable), true)
	}
}

func TestWhatPassesIsTriedAgainWithOneIdempotencyKey(t *testing.T) {
	for _, failure := range []reply{{status: 429, body: refusal("A")}, {status: 503, body: refusal("A")}, {}} {
		client, requests := serving(t, failure, failure, failure, reply{status: 200, body: map[string]any{}})
		if _, err := client.Users.Create(&UserCreateOptions{Username: "a"}); err != nil {
			t.Fatal(err)
		}
		keys := map[string]bool{}
		for _, request := range requests() {
			keys[request.header.Get("Idempotency-Key")] = true
		}
		same(t, "requests", len(requests()), 4)
		same(t, "keys", len(keys), 1)
		client, requests = serving(t, failure, failure, failure, failure, reply{status: 200})
		same(t, "error", client.Users.Delete("user_1") != nil, true)
		same(t, "requests", len(requests()), 4)
	}
}

func TestWhatDoesNotPassIsNotTriedAgain(t *testing.T) {
	for _, status := range []int{302, 400, 401, 403, 404, 409, 412, 500} {
		client, requests := serving(t, reply{status, refusal("A"), map[string]string{"Location": "/elsewhere"}})
		_, err := client.Server.GetInfo()
		var got *APIError
		same(t, "refused", errors.As(err, &got), true)
		same(t, "requests", len(requests()), 1)
	}
}

func TestPausesGrowAreALittleRandomAndEnd(t *testing.T) {
	retries := Retries{Most: 3, First: 500 * time.Millisecond, Longest: 1500 * time.Millisecond}
	failure := &ConnectionError{Err: io.ErrUnexpectedEOF}
	for tries, highest := range []time.Duration{500, 1000, 1500} {
		pause, again := retries.pause(tries+1, failure)
		if highest *= time.Millisecond; !again || pause < highest/2 || pause > highest {
			t.Errorf("%d: %v", tries+1, pause)
		}
	}
	limited := func(wait time.Duration) error { return &APIError{Status: 429, RetryAfter: &wait} }
	for _, row := range []struct {
		tries int
		err   error
		again bool
	}{{4, failure, false}, {1, limited(time.Second), true}, {1, limited(2 * time.Second), false},
		{1, &APIError{Status: 409}, false},
		{1, &APIError{Status: 409, RetryAfter: Ptr(time.Second)}, true}, {1, io.EOF, false}} {
		_, again := retries.pause(row.tries, row.err)
		same(t, row.err.Error(), again, row.again)
	}
}

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	now := time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)
	for text, wanted := range map[string]time.Duration{"7": 7 * time.Second, "0": 0, "": -1, "-1": -1, "soon": -1,
		"Mon, 15 Jan 2024 10:30:30 GMT": 30 * time.Second, "Mon, 15 Jan 2024 10:29:00 GMT": 0} {
		got := time.Duration(-1)
		if pause := retryAfter(text, now); pause != nil {
			got = *pause
		}
		same(t, text, got, wanted)
	}
}

func TestASlowServerEndsInATimeoutAndAContextEndsTheCall(t *testing.T) {
	over := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
	defer server.Close()
	defer close(over)
	client := NewClient(server.URL, "key", WithRetries(Retries{Most: 1}))
	_, err := client.Server.GetInfo(WithTimeout(20 * time.Millisecond))
	var lost *ConnectionError
	same(t, "timeout", errors.As(err, &lost) && lost.Timeout, true)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err = client.Server.GetInfo(WithContext(ctx), WithRetries(Retries{Most: 1000}))
	same(t, "context", errors.Is(err, context.DeadlineExceeded), true)
}

func TestAnUnhealthyServerIsAnAnswerAndOneThatIsAwayIsAnError(t *testing.T) {
	client, requests := serving(t, reply{status: 503, body: map[string]any{"status": "unhealthy"}})
	health, err := client.Health.GetStatus()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "status", health.Status, "unhealthy")
	same(t, "requests", len(requests()), 1)
	client, _ = serving(t, reply{status: 503, body: refusal("SERVICE_UNAVAILABLE")})
	_, err = client.Health.GetStatus()
	same(t, "error", errors.Is(err, ErrServiceUnavailable), true)
}

func TestOptionsBecomeHeadersAndAnAnswerHasItsETag(t *testing.T) {
	client, requests := serving(t, reply{200, map[string]any{"id": "user_1"}, map[string]string{"ETag": `"7"`}})
	user, err := client.Users.Get("user_1", WithLanguage("zh-Hans"), WithRequestID("r-1"), WithUserAgent("mine/1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Users.Restore(user.ID, WithIfMatch(user.ETag), WithIdempotencyKey("k-1")); err != nil {
		t.Fatal(err)
	}
	first, second := requests()[0].header, requests()[1].header
	same(t, "Accept-Language", first.Get("Accept-Language"), "zh-Hans")
	same(t, "X-Request-ID", first.Get("X-Request-ID"), "r-1")
	same(t, "User-Agent", first.Get("User-Agent"), "mine/1")
	same(t, "If-Match", second.Get("If-Match"), `"7"`)
	same(t, "Idempotency-Key", second.Get("Idempotency-Key"), "k-1")
	same(t, "X-Request-ID", second.Get("X-Request-ID"), "")
}

func TestAnOptionCannotBecomeAnotherHeader(t *testing.T) {
	client, requests := serving(t, reply{status: 200, body: map[string]any{}})
	for _, option := range []Option{WithRequestID("a\r\nX: b"), WithLanguage("a\nb"), WithUserAgent("a\x00b")} {
		_, err := client.Server.GetInfo(option)
		same(t, "refused", err != nil, true)
	}
	same(t, "requests", len(requests()), 0)
}

func TestAWalkGoesThroughAllPages(t *testing.T) {
	page := func(number int, ids ...string) reply {
		users := []map[string]any{}
		for _, id := range ids {
			users = append(users, map[string]any{"id": id})
		}
		return reply{status: 200, body: map[string]any{"users": users, "total": 5, "page": number, "limit": 2}}
	}
	client, requests := serving(t, page(1, "a", "b"), page(2, "c", "d"), page(3, "e"))
	var found []string
	users := client.Users.Iterate(&UserListOptions{Limit: 2})
	for users.Next() {
		found = append(found, users.Row().ID)
	}
	same(t, "rows", strings.Join(found, ""), "abcde")
	same(t, "error", users.Err() == nil, true)
	same(t, "requests", len(requests()), 3)
	same(t, "page", requests()[2].query.Encode(), "limit=2&page=3")
	client, _ = serving(t, reply{status: 403, body: refusal("FORBIDDEN")})
	users = client.Users.Iterate(nil)
	same(t, "next", users.Next() || users.Next(), false)
	same(t, "error", errors.Is(users.Err(), ErrForbidden), true)
}

func TestANameStaysInItsSegment(t *testing.T) {
	client, requests := serving(t, reply{status: 204})
	for _, name := range []string{"", ".", ".."} {
		same(t, name, client.Users.Delete(name) != nil, true)
	}
	if err := client.Security.UnblockIP("2001:db8::/32"); err != nil {
		t.Fatal(err)
	}
	same(t, "requests", len(requests()), 1)
	same(t, "path", requests()[0].path, "/api/v1/security/blocked-ips/2001:db8::%2F32")
}

func TestAKeyIsNotSentInClearTextToAnotherMachine(t *testing.T) {
	for _, address := range []string{"http://mail.example.com", "http://127.0.0.1.evil.example", "ftp://a.example", "a.example", ""} {
		_, err := NewClient(address, "key").Server.GetInfo()
		var lost *ConnectionError
		same(t, address, err != nil && !errors.As(err, &lost), true)
	}
}
