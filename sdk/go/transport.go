package a3mailer

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// An answer is read to its end, but not beyond this many bytes.
const answerLimit = 256 << 20

// call is one operation. Segments are those of the path below /api/v1, or of the whole path with root.
type call struct {
	method   string
	segments []string
	root     bool
	query    any
	body     any
	csv      string
	accept   string
	// An error status that is an answer as well.
	also int
}

func at(segments ...string) []string { return segments }

type transport struct {
	baseURL  string
	apiKey   string
	settings settings
	refusal  error
}

func newTransport(baseURL, apiKey string, options []Option) *transport {
	set := defaults().with(options)
	t := &transport{baseURL: strings.TrimRight(baseURL, "/"), apiKey: apiKey, settings: set}
	parsed, err := url.Parse(baseURL)
	switch {
	case err != nil:
		t.refusal = err
	case (parsed.Scheme != "http" && parsed.Scheme != "https") || parsed.Host == "":
		t.refusal = fmt.Errorf("%q is no address such as https://mail.example.com", baseURL)
	case parsed.Scheme == "http" && !isLoopback(parsed.Hostname()) && !set.allowHTTP:
		t.refusal = fmt.Errorf("%q would send the key in clear text; use https, or AllowHTTP", baseURL)
	}
	return t
}

func isLoopback(host string) bool {
	address := net.ParseIP(host)
	return host == "localhost" || (address != nil && address.IsLoopback())
}

// ask carries out a call whose answer is JSON.
func ask[T any](t *transport, c call, options []Option) (*T, error) {
	content, header, err := t.send(c, options)
	if err != nil {
		return nil, err
	}
	answer := new(T)
	if err := json.Unmarshal(content, answer); err != nil {
		return nil, &ConnectionError{Err: fmt.Errorf("the answer is not what it should be: %w", err)}
	}
	if one, ok := any(answer).(interface{ setETag(string) }); ok {
		one.setETag(header.Get("ETag"))
	}
	return answer, nil
}

// do carries out a call that has no answer.
func (t *transport) do(c call, options []Option) error {
	_, _, err := t.send(c, options)
	return err
}

func (t *transport) send(c call, options []Option) ([]byte, http.Header, error) {
	set := t.settings.with(options)
	target, err := t.target(c)
	if err != nil {
		return nil, nil, err
	}
	content, kind, err := encoded(c)
	if err != nil {
		return nil, nil, err
	}
	headers := t.headers(c, set, kind)
	for name, values := range headers {
		if strings.ContainsAny(values[0], "\r\n\x00") {
			return nil, nil, fmt.Errorf("%s cannot be %q", name, values[0])
		}
	}
	for tries := 1; ; tries++ {
		answer, header, err := attempt(c, set, target, headers, content)
		if err == nil || set.context.Err() != nil {
			return answer, header, err
		}
		pause, again := set.retries.pause(tries, err)
		if !again {
			return nil, nil, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-set.context.Done():
			timer.Stop()
			return nil, nil, set.context.Err()
		case <-timer.C:
		}
	}
}

// target returns the URL. A name stays within its segment: it may contain a slash, but cannot be ".." or nothing.
func (t *transport) target(c call) (string, error) {
	if t.refusal != nil {
		return "", t.refusal
	}
	target := t.baseURL
	if !c.root {
		target += "/api/v1"
	}
	for _, segment := range c.segments {
		if segment == "" || segment == "." || segment == ".." {
			return "", fmt.Errorf("%q cannot stand in a path", segment)
		}
		target += "/" + url.PathEscape(segment)
	}
	query, err := queryOf(c.query)
	if err == nil && len(query) > 0 {
		target += "?" + query.Encode()
	}
	return target, err
}

// queryOf turns a struct into a query, by its JSON names.
func queryOf(options any) (url.Values, error) {
	content, err := json.Marshal(options)
	if err != nil {
		return nil, err
	}
	var members map[string]any
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	if err := decoder.Decode(&members); err != nil {
		return nil, err
	}
	query := url.Values{}
	for name, value := range members {
		if value == true {
			value = 1
		}
		query.Set(name, fmt.Sprint(value))
	}
	return query, nil
}

func encoded(c call) ([]byte, string, error) {
	if c.csv != "" {
		return []byte(c.csv), "text/csv; charset=utf-8", nil
	}
	if c.body == nil {
		return nil, "", nil
	}
	content, err := json.Marshal(c.body)
	return content, "application/json", err
}

func (t *transport) headers(c call, set settings, kind string) http.Header {
	headers := http.Header{}
	put := func(name, value string) {
		if value != "" {
			headers.Set(name, value)
		}
	}
	put("Accept", "application/json")
	put("Accept", c.accept)
	put("User-Agent", set.userAgent)
	put("Content-Type", kind)
	put("Accept-Language", set.language)
	put("X-Request-ID", set.requestID)
	put("If-Match", set.ifMatch)
	if t.apiKey != "" {
		put("Authorization", "Bearer "+t.apiKey)
	}
	if c.method == http.MethodPost {
		// All tries have one key, so that the server does once what it hears twice.
		put("Idempotency-Key", randomKey())
		put("Idempotency-Key", set.idempotencyKey)
	}
	return headers
}

func randomKey() string {
	var key [16]byte
	if _, err := rand.Read(key[:]); err != nil {
		panic(err) // The system has no randomness: nothing works.
	}
	return hex.EncodeToString(key[:])
}

func attempt(c call, set settings, target string, headers http.Header, content []byte) ([]byte, http.Header, error) {
	ctx, cancel := context.WithTimeout(set.context, set.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, c.method, target, bytes.NewReader(content))
	if err != nil {
		return nil, nil, err
	}
	request.Header = headers
	client := *set.http
	// A redirect would take the key to an address that nobody chose.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Do(request)
	if err != nil {
		return nil, nil, lost(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	if err != nil {
		return nil, nil, lost(err)
	}
	return answer, response.Header, judged(c, response, answer)
}

func lost(err error) error {
	return &ConnectionError{Err: err, Timeout: errors.Is(err, context.DeadlineExceeded)}
}

// judged returns the error that a reply is, if it is one.
func judged(c call, response *http.Response, content []byte) error {
	if response.StatusCode < 300 {
		return nil
	}
	var body struct {
		Error json.RawMessage `json:"error"`
	}
	isJSON := json.Unmarshal(content, &body) == nil
	if isJSON && body.Error == nil && response.StatusCode == c.also {
		return nil
	}
	refusal := &APIError{RequestID: response.Header.Get("X-Request-ID")}
	if json.Unmarshal(body.Error, refusal) != nil {
		// Not in the server's words: something between has answered.
		refusal = &APIError{RequestID: response.Header.Get("X-Request-ID")}
	}
	refusal.Status = response.StatusCode
	refusal.RetryAfter = retryAfter(response.Header.Get("Retry-After"), time.Now())
	return refusal
}
