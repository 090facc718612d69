package a3mailer

import (
	"context"
	"net/http"
	"time"
)

// Option changes how calls are made: of a client, or of one call.
type Option func(*settings)

type settings struct {
	context        context.Context
	http           *http.Client
	timeout        time.Duration
	retries        Retries
	language       string
	requestID      string
	idempotencyKey string
	ifMatch        string
	userAgent      string
	allowHTTP      bool
}

const userAgent = "a3mailer-sdk-go/0.1.0"

func defaults() settings {
	return settings{
		context:   context.Background(),
		http:      http.DefaultClient,
		timeout:   30 * time.Second,
		retries:   Retries{Most: 3, First: 500 * time.Millisecond, Longest: time.Minute},
		userAgent: userAgent,
	}
}

func (s settings) with(options []Option) settings {
	for _, option := range options {
		option(&s)
	}
	return s
}

// WithContext ends the call, and the pauses between its tries, with a context.
func WithContext(ctx context.Context) Option { return func(s *settings) { s.context = ctx } }

// WithHTTPClient brings proxies and certificates of its own. Its redirects are not followed.
func WithHTTPClient(client *http.Client) Option { return func(s *settings) { s.http = client } }

// WithTimeout ends each try after so long; 30 s unless said otherwise.
func WithTimeout(timeout time.Duration) Option { return func(s *settings) { s.timeout = timeout } }

// WithRetries says how often a call is tried again.
func WithRetries(retries Retries) Option { return func(s *settings) { s.retries = retries } }

// WithLanguage asks for messages in a language, such as "zh-Hans".
func WithLanguage(language string) Option { return func(s *settings) { s.language = language } }

// WithRequestID gives the call a name in the server's log.
func WithRequestID(id string) Option { return func(s *settings) { s.requestID = id } }

// WithIdempotencyKey makes POST calls with the same key one; without it each call has a key of its own.
func WithIdempotencyKey(key string) Option { return func(s *settings) { s.idempotencyKey = key } }

// WithIfMatch changes a user or domain only while it is as it was with this ETag; else ErrPreconditionFailed.
func WithIfMatch(etag string) Option { return func(s *settings) { s.ifMatch = etag } }

// WithUserAgent says who calls.
func WithUserAgent(name string) Option { return func(s *settings) { s.userAgent = name } }

// AllowHTTP lets NewClient send the key in clear text to another machine.
func AllowHTTP() Option { return func(s *settings) { s.allowHTTP = true } }
