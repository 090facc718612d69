package a3mailer

import (
	"net/http"
	"time"
)

// Messages are what came and went.
type Messages struct{ to *transport }

// MessageSearchOptions narrow a search for messages.
type MessageSearchOptions struct {
	Page      int        `json:"page,omitempty"`
	Limit     int        `json:"limit,omitempty"`
	Sender    string     `json:"sender,omitempty"`
	Recipient string     `json:"recipient,omitempty"`
	MessageID string     `json:"message_id,omitempty"`
	Since     *time.Time `json:"since,omitempty"`
	Until     *time.Time `json:"until,omitempty"`
	Outcome   string     `json:"outcome,omitempty"`
	Direction string     `json:"direction,omitempty"`
	Search    string     `json:"search,omitempty"`
}

func (o *MessageSearchOptions) pageNumber() *int { return &o.Page }

// Search finds messages, newest first.
func (m *Messages) Search(which *MessageSearchOptions, options ...Option) (*Page[Object], error) {
	return ask[Page[Object]](m.to, call{method: http.MethodGet, segments: at("messages"), query: which}, options)
}

// Iterate walks through all messages that are found.
func (m *Messages) Iterate(which *MessageSearchOptions, options ...Option) *Iterator[Object] {
	return iterate(which, m.Search, options)
}

// Get shows a message: who, when, how it stands with each recipient.
func (m *Messages) Get(id string, options ...Option) (*Object, error) {
	return ask[Object](m.to, call{method: http.MethodGet, segments: at("messages", id)}, options)
}

// GetEvents shows what happened to a message, step by step.
func (m *Messages) GetEvents(id string, options ...Option) (*Object, error) {
	return ask[Object](m.to, call{method: http.MethodGet, segments: at("messages", id, "events")}, options)
}
