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
	PurgeID       *string    `json:"purge_id"`
}

// Purge is a purge that happened. Queue is empty and MessageID given where one message was taken.
type Purge struct {
	PurgeID   string     `json:"purge_id"`
	Queue     string     `json:"queue"`
	MessageID *string    `json:"message_id"`
	Deleted   int64      `json:"deleted"`
	By        string     `json:"by"`
	DeletedAt time.Time  `json:"deleted_at"`
	UndoUntil time.Time  `json:"undo_until"`
	UndoneAt  *time.Time `json:"undone_at"`
}

// Restored says what an undo has put back.
type Restored struct {
	PurgeID  string `json:"purge_id"`
	Restored int64  `json:"restored"`
}

// QueuedMessage is a message in the queue. ID is its queue id, MessageID stands in its header.
type QueuedMessage struct {
	ID             string     `json:"id"`
	Sender         string     `json:"sender"`
	Size           int64      `json:"size"`
	ReceivedAt     time.Time  `json:"received_at"`
	ExpiresAt      time.Time  `json:"expires_at"`
	Lane           string     `json:"lane"`
	State          string     `json:"state"`
	Subject        string     `json:"subject"`
	MessageID      string     `json:"message_id"`
	RecipientCount int64      `json:"recipient_count"`
	NextAttemptAt  *time.Time `json:"next_attempt_at"`
	ReleaseAt      *time.Time `json:"release_at"`
}

// QueuedMessageDetails are a message in the queue, with its recipients and the attempts at them.
type QueuedMessageDetails struct {
	QueuedMessage
	Recipients []QueueRecipient `json:"recipients"`
	Attempts   []Attempt        `json:"attempts"`
}

// QueueRecipient is a recipient of a message in the queue.
type QueueRecipient struct {
	Recipient     string     `json:"recipient"`
	Destination   string     `json:"destination"`
	State         string     `json:"state"`
	HoldReason    string     `json:"hold_reason"`
	Attempts      int64      `json:"attempts"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
	LastReply     string     `json:"last_reply"`
}

// Attempt is a try to hand a message on, with the other server's own words.
type Attempt struct {
	Recipient  string    `json:"recipient"`
	Number     int64     `json:"number"`
	At         time.Time `json:"at"`
	DurationMS *int64    `json:"duration_ms"`
	Host       string    `json:"host"`
	Address    *string   `json:"address"`
	TLS        string    `json:"tls"`
	Outcome    string    `json:"outcome"`
	Code       *int      `json:"code"`
	Enhanced   string    `json:"enhanced"`
	Reply      string    `json:"reply"`
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
func (q *Queue) ListPurges(which *PageOptions, options ...Option) (*Page[Purge], error) {
	return ask[Page[Purge]](q.to, call{method: http.MethodGet, segments: at("queue", "purges"), query: which}, options)
}

// IteratePurges walks through all purges.
func (q *Queue) IteratePurges(which *PageOptions, options ...Option) *Iterator[Purge] {
	return iterate(which, q.ListPurges, options)
}

// UndoPurge brings back what a purge took.
func (q *Queue) UndoPurge(id string, options ...Option) (*Restored, error) {
	return ask[Restored](q.to, call{method: http.MethodPost, segments: at("queue", "purges", id, "undo")}, options)
}

// ListMessages lists messages in the queue, narrowed by what is given.
func (q *Queue) ListMessages(which *QueueListOptions, options ...Option) (*Page[QueuedMessage], error) {
	return ask[Page[QueuedMessage]](q.to, call{method: http.MethodGet, segments: at("queue", "messages"), query: which}, options)
}

// IterateMessages walks through all messages in the queue.
func (q *Queue) IterateMessages(which *QueueListOptions, options ...Option) *Iterator[QueuedMessage] {
	return iterate(which, q.ListMessages, options)
}

// GetMessage shows a message in the queue.
func (q *Queue) GetMessage(id string, options ...Option) (*QueuedMessageDetails, error) {
	return ask[QueuedMessageDetails](q.to, call{method: http.MethodGet, segments: at("queue", "messages", id)}, options)
}

// DeleteMessage takes a message out of the queue, into the trash; UndoPurge brings it back.
func (q *Queue) DeleteMessage(id string, options ...Option) (*Purged, error) {
	return ask[Purged](q.to, call{method: http.MethodDelete, segments: at("queue", "messages", id)}, options)
}

// RetryMessage tries a message again now.
func (q *Queue) RetryMessage(id string, options ...Option) (*QueuedMessageDetails, error) {
	return ask[QueuedMessageDetails](q.to, call{method: http.MethodPost, segments: at("queue", "messages", id, "retry")}, options)
}

// HoldMessage holds a message back until it is released.
func (q *Queue) HoldMessage(id string, options ...Option) (*QueuedMessageDetails, error) {
	return ask[QueuedMessageDetails](q.to, call{method: http.MethodPost, segments: at("queue", "messages", id, "hold")}, options)
}

// ReleaseMessage lets a held message go on.
func (q *Queue) ReleaseMessage(id string, options ...Option) (*QueuedMessageDetails, error) {
	return ask[QueuedMessageDetails](q.to, call{method: http.MethodPost, segments: at("queue", "messages", id, "release")}, options)
}
