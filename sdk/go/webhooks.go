package a3mailer

import (
	"net/http"
	"time"
)

// Webhooks are programs that are told over HTTP what happens to mail.
type Webhooks struct{ to *transport }

// Webhook is a program that is told, and how that goes.
type Webhook struct {
	ID            string     `json:"id"`
	URL           string     `json:"url"`
	Description   string     `json:"description"`
	Events        []string   `json:"events"`
	Domains       []string   `json:"domains"`
	Enabled       bool       `json:"enabled"`
	CreatedAt     time.Time  `json:"created_at"`
	Waiting       int64      `json:"waiting"`
	LastSuccessAt *time.Time `json:"last_success_at"`
	FailingSince  *time.Time `json:"failing_since"`
	LastError     string     `json:"last_error"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
	Replaying     bool       `json:"replaying"`
}

// NewWebhook is a webhook just made, or with a new secret: the only answers with it.
type NewWebhook struct {
	Webhook
	Secret string `json:"secret"`
}

// WebhookDelivery is an event that a webhook has not taken (yet).
type WebhookDelivery struct {
	ID            string     `json:"id"`
	Event         string     `json:"event"`
	QueueID       *string    `json:"queue_id"`
	HappenedAt    time.Time  `json:"happened_at"`
	Replayed      bool       `json:"replayed"`
	Attempts      int64      `json:"attempts"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
	LastError     string     `json:"last_error"`
	FailedAt      *time.Time `json:"failed_at"`
}

// Replaying says whether there is anything to tell again.
type Replaying struct {
	Replaying bool `json:"replaying"`
}

// WebhookCreateOptions are a new webhook.
type WebhookCreateOptions struct {
	URL         string   `json:"url"`
	Events      []string `json:"events"`
	Description string   `json:"description,omitempty"`
	Domains     []string `json:"domains,omitempty"`
	Enabled     *bool    `json:"enabled,omitempty"`
}

// WebhookUpdateOptions are what changes of a webhook; what is nil stays.
type WebhookUpdateOptions struct {
	URL         *string   `json:"url,omitempty"`
	Events      *[]string `json:"events,omitempty"`
	Description *string   `json:"description,omitempty"`
	Domains     *[]string `json:"domains,omitempty"`
	Enabled     *bool     `json:"enabled,omitempty"`
}

// ReplayOptions are a span of time; without Until it ends now.
type ReplayOptions struct {
	Since time.Time  `json:"since"`
	Until *time.Time `json:"until,omitempty"`
}

// WebhookDeliveryListOptions choose among what a webhook has not taken: State is "waiting" or "failed".
type WebhookDeliveryListOptions struct {
	Page  int    `json:"page,omitempty"`
	Limit int    `json:"limit,omitempty"`
	State string `json:"state,omitempty"`
}

func (o *WebhookDeliveryListOptions) pageNumber() *int { return &o.Page }

// Create makes a webhook. Only this answer has its secret, which signs what is sent.
func (w *Webhooks) Create(webhook *WebhookCreateOptions, options ...Option) (*NewWebhook, error) {
	return ask[NewWebhook](w.to, call{method: http.MethodPost, segments: at("webhooks"), body: webhook}, options)
}

// List lists webhooks, and how they do.
func (w *Webhooks) List(which *PageOptions, options ...Option) (*Page[Webhook], error) {
	return ask[Page[Webhook]](w.to, call{method: http.MethodGet, segments: at("webhooks"), query: which}, options)
}

// Iterate walks through all webhooks.
func (w *Webhooks) Iterate(which *PageOptions, options ...Option) *Iterator[Webhook] {
	return iterate(which, w.List, options)
}

// Get shows a webhook.
func (w *Webhooks) Get(id string, options ...Option) (*Webhook, error) {
	return ask[Webhook](w.to, call{method: http.MethodGet, segments: at("webhooks", id)}, options)
}

// Update changes what is named and leaves the rest.
func (w *Webhooks) Update(id string, changes *WebhookUpdateOptions, options ...Option) (*Webhook, error) {
	return ask[Webhook](w.to, call{method: http.MethodPut, segments: at("webhooks", id), body: changes}, options)
}

// Delete deletes a webhook, and what waits for it.
func (w *Webhooks) Delete(id string, options ...Option) error {
	return w.to.do(call{method: http.MethodDelete, segments: at("webhooks", id)}, options)
}

// RotateSecret gives a webhook a new secret; the old one signs too for 24 hours.
func (w *Webhooks) RotateSecret(id string, options ...Option) (*NewWebhook, error) {
	return ask[NewWebhook](w.to, call{method: http.MethodPost, segments: at("webhooks", id, "rotate-secret")}, options)
}

// Test sends a test event.
func (w *Webhooks) Test(id string, options ...Option) (*WebhookDelivery, error) {
	return ask[WebhookDelivery](w.to, call{method: http.MethodPost, segments: at("webhooks", id, "test")}, options)
}

// Replay tells again what happened in a span of time.
func (w *Webhooks) Replay(id string, span *ReplayOptions, options ...Option) (*Replaying, error) {
	return ask[Replaying](w.to, call{method: http.MethodPost, segments: at("webhooks", id, "replay"), body: span}, options)
}

// ListDeliveries lists what a webhook has not taken.
func (w *Webhooks) ListDeliveries(id string, which *WebhookDeliveryListOptions, options ...Option) (*Page[WebhookDelivery], error) {
	return ask[Page[WebhookDelivery]](w.to, call{method: http.MethodGet, segments: at("webhooks", id, "deliveries"), query: which}, options)
}

// IterateDeliveries walks through all that a webhook has not taken.
func (w *Webhooks) IterateDeliveries(id string, which *WebhookDeliveryListOptions, options ...Option) *Iterator[WebhookDelivery] {
	return iterate(which, func(which *WebhookDeliveryListOptions, options ...Option) (*Page[WebhookDelivery], error) {
		return w.ListDeliveries(id, which, options...)
	}, options)
}
