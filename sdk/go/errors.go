package a3mailer

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// What the server refuses with: errors.Is(err, a3mailer.ErrNotFound).
var (
	ErrInvalidRequest     = errors.New("400: the request is not valid")
	ErrUnauthorized       = errors.New("401: there is no valid key")
	ErrForbidden          = errors.New("403: the key may not do this")
	ErrNotFound           = errors.New("404: there is no such thing")
	ErrConflict           = errors.New("409: it is there already, or contradicts what is")
	ErrPreconditionFailed = errors.New("412: it was changed since the ETag was read")
	ErrRateLimited        = errors.New("429: too many requests")
	ErrInternal           = errors.New("500: the server made a mistake")
	ErrServiceUnavailable = errors.New("503: the service is not available now")
)

var kinds = map[int]error{
	400: ErrInvalidRequest,
	401: ErrUnauthorized,
	403: ErrForbidden,
	404: ErrNotFound,
	409: ErrConflict,
	412: ErrPreconditionFailed,
	429: ErrRateLimited,
	500: ErrInternal,
	502: ErrServiceUnavailable,
	503: ErrServiceUnavailable,
	504: ErrServiceUnavailable,
}

// APIError is the server's refusal. Code is a word of the API reference and never changes; Message and Details follow
// the language asked for; Fields has all problems by field; RequestID is what the server's log calls the call.
type APIError struct {
	Status    int                 `json:"-"`
	Code      string              `json:"code"`
	Message   string              `json:"message"`
	Details   string              `json:"details"`
	Fields    map[string][]string `json:"fields"`
	RequestID string              `json:"request_id"`
	// RetryAfter is nil when the server did not say.
	RetryAfter *time.Duration `json:"-"`
}

// Error says status, code, message and details.
func (e *APIError) Error() string {
	text := strings.TrimSpace(fmt.Sprintf("%d %s", e.Status, e.Code))
	for _, part := range []string{e.Message, e.Details} {
		if part != "" {
			text += ": " + part
		}
	}
	return text
}

// Is compares with ErrNotFound and the others.
func (e *APIError) Is(target error) bool { return kinds[e.Status] == target }

// ConnectionError says that the server could not be reached, or did not answer to the end.
type ConnectionError struct {
	Err error
	// Timeout says that it took longer than the call's timeout.
	Timeout bool
}

// Error says what the network said.
func (e *ConnectionError) Error() string { return e.Err.Error() }

// Unwrap returns what the network said.
func (e *ConnectionError) Unwrap() error { return e.Err }
