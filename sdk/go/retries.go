package a3mailer

import (
	"errors"
	"math/rand"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Retries says when a call is tried again: Most more times, First after the first failure, each pause twice as long as
// the one before, none longer than Longest. When the server asks for more (Retry-After), the error is returned at once:
// to come back earlier than asked would only be refused again.
type Retries struct {
	Most    int
	First   time.Duration
	Longest time.Duration
}

// pause returns how long to wait after so many tries, false to give up.
func (r Retries) pause(tries int, err error) (time.Duration, bool) {
	var refusal *APIError
	var lost *ConnectionError
	isRefusal := errors.As(err, &refusal)
	passes := errors.Is(err, ErrRateLimited) || errors.Is(err, ErrServiceUnavailable) || errors.As(err, &lost)
	// A conflict that passes: the first try of a POST is still running, and its answer will be ours.
	passes = passes || (errors.Is(err, ErrConflict) && refusal.RetryAfter != nil)
	if tries > r.Most || !passes {
		return 0, false
	}
	if isRefusal && refusal.RetryAfter != nil {
		return *refusal.RetryAfter, *refusal.RetryAfter <= r.Longest
	}
	pause := r.First
	for ; tries > 1 && pause < r.Longest; tries-- {
		pause *= 2
	}
	if pause > r.Longest {
		pause = r.Longest
	}
	// Half of it by chance, so that many clients do not come back together.
	return time.Duration(float64(pause) * (0.5 + rand.Float64()/2)), true
}

// retryAfter reads a Retry-After header, seconds or a date (RFC 9110 section 10.2.3); what is neither says nothing.
func retryAfter(text string, now time.Time) *time.Duration {
	text = strings.TrimSpace(text)
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return Ptr(time.Duration(seconds) * time.Second)
	}
	when, err := http.ParseTime(text)
	if err != nil {
		return nil
	}
	if when.Before(now) {
		return Ptr(time.Duration(0))
	}
	return Ptr(when.Sub(now))
}
