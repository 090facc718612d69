package a3mailer

import (
	"net/http"
	"time"
)

// Queue is the messages that wait to be sent on.
type Queue struct{ to *transport }

// QueueStatus counts messages by state (which may overlap) and by lane (which add up to the total).
type QueueStatus struct {
	TotalMessages    int64            `json:"total_messages"`
	ActiveMessages   int64            `json:"active_messages"`
	DeferredMessages int64            `json:"deferred_messages"`
	BouncedMessages  int64            `json:"bounced_messages"`
	Queues           map[string]int64 `json:"queues"`
}

// Purged says what a purge took, or would take.
type Purged struct {
	Queue         string     `json:"queue"`
	Deleted       int64      `json:"deleted"`
	SkippedActive int64      `json:"skipped_active"`
	UndoUntil     *time.Time `json:"undo_until"`
}

// QueueRetryOptions choose messages to try again; nothing chooses all.
type QueueRetryOptions struct {
	Queue      string   `json:"queue,omitempty"`
	Domain     string   `json:"domain,omitempty"`
	MessageIDs []string `json:"message_ids,omitempty"`
	DryRun     bool     `json:"dry_run,omitempty"`
}

// Retried says how many messages are tried again.
type Retried struct {
	Retried int64 `json:"retried"`
	Skipped int64 `json:"skipped"`
}

// QueueListOptions narrow a list of messages in the queue.
type QueueListOptions struct {
	Page        int    `json:"page,omitempty"`
	Limit       int    `json:"limit,omitempty"`
	Lane        string `json:"lane,omitempty"`
	State       string `json:"state,omitempty"`
	Search      string `json:"search,omitempty"`
	Sender      string `json:"sender,omitempty"`
	Recipient   string `json:"recipient,omitempty"`
	Destination string `json:"destination,omitempty"`
}

func (o *QueueListOptions) pageNumber() *int { return &o.Page }

// Retry tries deferred messages again now: all, or those chosen.
func (q *Queue) Retry(which *QueueRetryOptions, options ...Option) (*Retried, error) {
	var chosen QueueRetryOptions
	if which != nil {
		chosen = *which
	}
	how := DryRunOptions{chosen.DryRun}
	chosen.DryRun = false
	return ask[Retried](q.to, call{method: http.MethodPost, segments: at("queue", "retry"), query: how, body: chosen}, options)
}

// GetStatus counts the messages in the queue, by state and by lane.
func (q *Queue) GetStatus(options ...Option) (*QueueStatus, error) {
	return ask[QueueStatus](q.to, call{method: http.MethodGet, segments: at("queue", "status")}, options)
}

// Purge empties "incoming", "outgoing", "retry" or "bounce" into the trash; what is on its way stays.
func (q *Queue) Purge(name string, how *DryRunOptions, options ...Option) (*Purged, error) {
	return ask[Purged](q.to, call{method: http.MethodDelete, segments: at("queue", name), query: how}, options)
}

// ListPurges lists purges.
func (q *Queue) ListPurges(which *PageOptions, options ...Option) (*Page[Object], error) {
	return ask[Page[Object]](q.to, call{method: http.MethodGet, segments: at("queue", "purges"), query: which}, options)
}

// IteratePurges walks through all purges.
func (q *Queue) IteratePurges(which *PageOptions, options ...Option) *Iterator[Object] {
	return iterate(which, q.ListPurges, options)
}

// UndoPurge brings back what a purge took.
func (q *Queue) UndoPurge(id string, options ...Option) (*Object, error) {
	return ask[Object](q.to, call{method: http.MethodPost, segments: at("queue", "purges", id, "undo")}, options)
}

// ListMessages lists messages in the queue, narrowed by what is given.
func (q *Queue) ListMessages(which *QueueListOptions, options ...Option) (*Page[Object], error) {
	return ask[Page[Object]](q.to, call{method: http.MethodGet, segments: at("queue", "messages"), query: which}, options)
}

// IterateMessages walks through all messages in the queue.
func (q *Queue) IterateMessages(which *QueueListOptions, options ...Option) *Iterator[Object] {
	return iterate(which, q.ListMessages, options)
}

// GetMessage shows a message in the queue.
func (q *Queue) GetMessage(id string, options ...Option) (*Object, error) {
	return ask[Object](q.to, call{method: http.MethodGet, segments: at("queue", "messages", id)}, options)
}

// DeleteMessage takes a message out of the queue, into the trash.
func (q *Queue) DeleteMessage(id string, options ...Option) error {
	return q.to.do(call{method: http.MethodDelete, segments: at("queue", "messages", id)}, options)
}

// RetryMessage tries a message again now.
func (q *Queue) RetryMessage(id string, options ...Option) (*Object, error) {
	return ask[Object](q.to, call{method: http.MethodPost, segments: at("queue", "messages", id, "retry")}, options)
}

// HoldMessage holds a message back until it is released.
func (q *Queue) HoldMessage(id string, options ...Option) (*Object, error) {
	return ask[Object](q.to, call{method: http.MethodPost, segments: at("queue", "messages", id, "hold")}, options)
}

// ReleaseMessage lets a held message go on.
func (q *Queue) ReleaseMessage(id string, options ...Option) (*Object, error) {
	return ask[Object](q.to, call{method: http.MethodPost, segments: at("queue", "messages", id, "release")}, options)
}
