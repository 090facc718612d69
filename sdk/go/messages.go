package a3mailer

import (
	"net/http"
	"time"
)

// Messages are what came and went.
type Messages struct{ to *transport }

// Message is a message that came or went, and what became of it for one recipient.
type Message struct {
	ID        string    `json:"id"`
	At        time.Time `json:"at"`
	Direction string    `json:"direction"`
	Outcome   string    `json:"outcome"`
	Sender    string    `json:"sender"`
	Recipient string    `json:"recipient"`
	MessageID string    `json:"message_id"`
	Subject   string    `json:"subject"`
	Size      int64     `json:"size"`
}

// MessageDetails are a message that came or went.
type MessageDetails struct {
	ID         string             `json:"id"`
	ReceivedAt time.Time          `json:"received_at"`
	Direction  string             `json:"direction"`
	Sender     string             `json:"sender"`
	MessageID  string             `json:"message_id"`
	Subject    string             `json:"subject"`
	Size       int64              `json:"size"`
	Recipients []MessageRecipient `json:"recipients"`
}

// MessageRecipient says what became of a message for one recipient.
type MessageRecipient struct {
	Recipient string    `json:"recipient"`
	Outcome   string    `json:"outcome"`
	At        time.Time `json:"at"`
}

// Event is something that happened to a message: the facts, and the same in words.
type Event struct {
	Kind      string    `json:"kind"`
	Time      time.Time `json:"time"`
	Recipient string    `json:"recipient"`
	Detail    Object    `json:"detail"`
	Title     string    `json:"title"`
	Text      string    `json:"text"`
	Quote     string    `json:"quote"`
	Tone      string    `json:"tone"`
}

// IterateEvents walks through all that happened to a message.
func (m *Messages) IterateEvents(id string, which *PageOptions, options ...Option) *Iterator[Event] {
	return iterate(which, func(which *PageOptions, options ...Option) (*Page[Event], error) {
		return m.ListEvents(id, which, options...)
	}, options)
}

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
func (m *Messages) Search(which *MessageSearchOptions, options ...Option) (*Page[Message], error) {
	return ask[Page[Message]](m.to, call{method: http.MethodGet, segments: at("messages"), query: which}, options)
}

// Iterate walks through all messages that are found.
func (m *Messages) Iterate(which *MessageSearchOptions, options ...Option) *Iterator[Message] {
	return iterate(which, m.Search, options)
}

// Get shows a message: who, when, how it stands with each recipient.
func (m *Messages) Get(id string, options ...Option) (*MessageDetails, error) {
	return ask[MessageDetails](m.to, call{method: http.MethodGet, segments: at("messages", id)}, options)
}

// ListEvents shows what happened to a message, step by step.
func (m *Messages) ListEvents(id string, which *PageOptions, options ...Option) (*Page[Event], error) {
	return ask[Page[Event]](m.to, call{method: http.MethodGet, segments: at("messages", id, "events"), query: which}, options)
}

// NewAttachment is a file that goes along; its content is in Base64. With a ContentID the HTML shows it.
type NewAttachment struct {
	Filename    string `json:"filename"`
	Content     string `json:"content"`
	ContentType string `json:"content_type,omitempty"`
	ContentID   string `json:"content_id,omitempty"`
}

// NewMessage is a message to be sent, in parts or as a whole (Raw, in Base64). Addresses may have a name.
type NewMessage struct {
	From        string            `json:"from"`
	To          []string          `json:"to,omitempty"`
	Cc          []string          `json:"cc,omitempty"`
	Bcc         []string          `json:"bcc,omitempty"`
	ReplyTo     []string          `json:"reply_to,omitempty"`
	Subject     string            `json:"subject,omitempty"`
	Text        string            `json:"text,omitempty"`
	HTML        string            `json:"html,omitempty"`
	Attachments []NewAttachment   `json:"attachments,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	Raw         string            `json:"raw,omitempty"`
	SendAt      *time.Time        `json:"send_at,omitempty"`
}

// Sent is a message that was taken: it is on disk.
type Sent struct {
	ID         string     `json:"id"`
	Recipients []string   `json:"recipients"`
	SendAt     *time.Time `json:"send_at"`
	Events     string     `json:"events"`
	Page       string     `json:"page"`
}

// Send hands in a message.
func (m *Messages) Send(message *NewMessage, options ...Option) (*Sent, error) {
	return ask[Sent](m.to, call{method: http.MethodPost, segments: at("messages", "send"), body: message}, options)
}
