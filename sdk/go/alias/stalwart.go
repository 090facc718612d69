// Package stalwart has package a3mailer under the API reference's import name. Its module is not published anywhere: a
// replace line in go.mod says where it is.
//
// What is generic (Page, Iterator, Ptr) can be named only in package a3mailer.
package stalwart

import a3mailer "a3mailer.internal/sdk"

// NewClient makes a client.
func NewClient(baseURL, apiKey string, options ...Option) *Client {
	return a3mailer.NewClient(baseURL, apiKey, options...)
}

// Options of clients and calls.
var (
	AllowHTTP          = a3mailer.AllowHTTP
	WithContext        = a3mailer.WithContext
	WithHTTPClient     = a3mailer.WithHTTPClient
	WithIdempotencyKey = a3mailer.WithIdempotencyKey
	WithIfMatch        = a3mailer.WithIfMatch
	WithLanguage       = a3mailer.WithLanguage
	WithRequestID      = a3mailer.WithRequestID
	WithRetries        = a3mailer.WithRetries
	WithTimeout        = a3mailer.WithTimeout
	WithUserAgent      = a3mailer.WithUserAgent
)

// What the server refuses with.
var (
	ErrInvalidRequest     = a3mailer.ErrInvalidRequest
	ErrUnauthorized       = a3mailer.ErrUnauthorized
	ErrForbidden          = a3mailer.ErrForbidden
	ErrNotFound           = a3mailer.ErrNotFound
	ErrConflict           = a3mailer.ErrConflict
	ErrPreconditionFailed = a3mailer.ErrPreconditionFailed
	ErrRateLimited        = a3mailer.ErrRateLimited
	ErrInternal           = a3mailer.ErrInternal
	ErrServiceUnavailable = a3mailer.ErrServiceUnavailable
)

// Types of parameters and answers.
type (
	AddressListOptions         = a3mailer.AddressListOptions
	Alias                      = a3mailer.Alias
	AliasCreateOptions         = a3mailer.AliasCreateOptions
	Aliases                    = a3mailer.Aliases
	AliasListOptions           = a3mailer.AliasListOptions
	AliasUpdateOptions         = a3mailer.AliasUpdateOptions
	AllowedIP                  = a3mailer.AllowedIP
	AllowOptions               = a3mailer.AllowOptions
	APIError                   = a3mailer.APIError
	APIKey                     = a3mailer.APIKey
	ApplicationMetrics         = a3mailer.ApplicationMetrics
	Attempt                    = a3mailer.Attempt
	AuditLog                   = a3mailer.AuditLog
	AuditLogOptions            = a3mailer.AuditLogOptions
	BlockedIP                  = a3mailer.BlockedIP
	BlockOptions               = a3mailer.BlockOptions
	Change                     = a3mailer.Change
	Client                     = a3mailer.Client
	ComponentHealth            = a3mailer.ComponentHealth
	ConnectionError            = a3mailer.ConnectionError
	CustomMetric               = a3mailer.CustomMetric
	CustomMetricOptions        = a3mailer.CustomMetricOptions
	CustomMetricSeries         = a3mailer.CustomMetricSeries
	Domain                     = a3mailer.Domain
	DomainCreateOptions        = a3mailer.DomainCreateOptions
	DomainListOptions          = a3mailer.DomainListOptions
	Domains                    = a3mailer.Domains
	DomainUpdateOptions        = a3mailer.DomainUpdateOptions
	DryRunOptions              = a3mailer.DryRunOptions
	Event                      = a3mailer.Event
	ExplainOptions             = a3mailer.ExplainOptions
	GroupOptions               = a3mailer.GroupOptions
	Groups                     = a3mailer.Groups
	Health                     = a3mailer.Health
	HealthCheck                = a3mailer.HealthCheck
	HealthStatus               = a3mailer.HealthStatus
	Imported                   = a3mailer.Imported
	ImportedRow                = a3mailer.ImportedRow
	KeyCreateOptions           = a3mailer.KeyCreateOptions
	Keys                       = a3mailer.Keys
	Message                    = a3mailer.Message
	MessageDetails             = a3mailer.MessageDetails
	MessageRecipient           = a3mailer.MessageRecipient
	Messages                   = a3mailer.Messages
	MessageSearchOptions       = a3mailer.MessageSearchOptions
	Metrics                    = a3mailer.Metrics
	NewAPIKey                  = a3mailer.NewAPIKey
	NewAttachment              = a3mailer.NewAttachment
	NewMessage                 = a3mailer.NewMessage
	NewWebhook                 = a3mailer.NewWebhook
	Object                     = a3mailer.Object
	Optimization               = a3mailer.Optimization
	OptimizationOptions        = a3mailer.OptimizationOptions
	Optimized                  = a3mailer.Optimized
	Option                     = a3mailer.Option
	PageOptions                = a3mailer.PageOptions
	Performance                = a3mailer.Performance
	PerformanceStats           = a3mailer.PerformanceStats
	PostureCheck               = a3mailer.PostureCheck
	Purge                      = a3mailer.Purge
	Purged                     = a3mailer.Purged
	Queue                      = a3mailer.Queue
	QueuedMessage              = a3mailer.QueuedMessage
	QueuedMessageDetails       = a3mailer.QueuedMessageDetails
	QueueListOptions           = a3mailer.QueueListOptions
	QueueRecipient             = a3mailer.QueueRecipient
	QueueRetryOptions          = a3mailer.QueueRetryOptions
	QueueStatus                = a3mailer.QueueStatus
	RateLimit                  = a3mailer.RateLimit
	RateLimits                 = a3mailer.RateLimits
	Readiness                  = a3mailer.Readiness
	Recommendation             = a3mailer.Recommendation
	Recommendations            = a3mailer.Recommendations
	Reload                     = a3mailer.Reload
	Replaying                  = a3mailer.Replaying
	ReplayOptions              = a3mailer.ReplayOptions
	Restart                    = a3mailer.Restart
	Restored                   = a3mailer.Restored
	Retried                    = a3mailer.Retried
	Retries                    = a3mailer.Retries
	RowError                   = a3mailer.RowError
	Sample                     = a3mailer.Sample
	Security                   = a3mailer.Security
	SecurityOverview           = a3mailer.SecurityOverview
	Sent                       = a3mailer.Sent
	Series                     = a3mailer.Series
	Server                     = a3mailer.Server
	ServerInfo                 = a3mailer.ServerInfo
	SystemMetrics              = a3mailer.SystemMetrics
	User                       = a3mailer.User
	UserCreateOptions          = a3mailer.UserCreateOptions
	UserGroup                  = a3mailer.UserGroup
	UserListOptions            = a3mailer.UserListOptions
	Users                      = a3mailer.Users
	UserUpdateOptions          = a3mailer.UserUpdateOptions
	Webhook                    = a3mailer.Webhook
	WebhookCreateOptions       = a3mailer.WebhookCreateOptions
	WebhookDelivery            = a3mailer.WebhookDelivery
	WebhookDeliveryListOptions = a3mailer.WebhookDeliveryListOptions
	Webhooks                   = a3mailer.Webhooks
	WebhookUpdateOptions       = a3mailer.WebhookUpdateOptions
)
