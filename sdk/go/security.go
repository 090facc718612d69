package a3mailer

import (
	"net/http"
	"time"
)

// Security is blocks, the audit log and rate limits.
type Security struct{ to *transport }

// SecurityOverview says how safe the server stands. The score is from 0 to 1.
type SecurityOverview struct {
	SecurityScore       *float64          `json:"security_score"`
	ThreatLevel         string            `json:"threat_level"`
	ActiveThreats       int64             `json:"active_threats"`
	BlockedIPs          int64             `json:"blocked_ips"`
	FailedAuthAttempts  int64             `json:"failed_auth_attempts"`
	RateLimitViolations int64             `json:"rate_limit_violations"`
	LastSecurityScan    *time.Time        `json:"last_security_scan"`
	SecurityEvents      map[string]int64  `json:"security_events"`
	Window              map[string]int64  `json:"window"`
	Explain             map[string]Object `json:"explain,omitempty"`
}

// PostureCheck is one check behind the score: "pass", "fail" or "unknown".
type PostureCheck struct {
	ID        string     `json:"id"`
	Title     string     `json:"title"`
	Status    string     `json:"status"`
	Weight    int64      `json:"weight"`
	Detail    string     `json:"detail"`
	Advice    string     `json:"advice"`
	CheckedAt *time.Time `json:"checked_at"`
}

// BlockedIP is an address or network that may not connect.
type BlockedIP struct {
	IPAddress string     `json:"ip_address"`
	Reason    string     `json:"reason"`
	Source    string     `json:"source"`
	BlockedAt time.Time  `json:"blocked_at"`
	ExpiresAt *time.Time `json:"expires_at"`
	Permanent bool       `json:"permanent"`
	Hits      int64      `json:"hits"`
	LastSeen  *time.Time `json:"last_seen"`
}

// BlockOptions are a new block, of Duration seconds or permanent.
type BlockOptions struct {
	IPAddress string `json:"ip_address"`
	Reason    string `json:"reason,omitempty"`
	Duration  *int64 `json:"duration,omitempty"`
	Permanent *bool  `json:"permanent,omitempty"`
	Force     *bool  `json:"force,omitempty"`
}

// AllowedIP is an address or network that is never blocked.
type AllowedIP struct {
	IPAddress string    `json:"ip_address"`
	Reason    string    `json:"reason"`
	AddedAt   time.Time `json:"added_at"`
}

// AllowOptions are a new entry of the allow-list.
type AllowOptions struct {
	IPAddress string `json:"ip_address"`
	Reason    string `json:"reason,omitempty"`
}

// AuditLog is one row of the audit log.
type AuditLog struct {
	ID          string    `json:"id"`
	Timestamp   time.Time `json:"timestamp"`
	EventType   string    `json:"event_type"`
	Severity    string    `json:"severity"`
	Outcome     string    `json:"outcome"`
	SourceIP    *string   `json:"source_ip"`
	UserID      *string   `json:"user_id"`
	Action      string    `json:"action"`
	Description string    `json:"description"`
	Metadata    Object    `json:"metadata"`
	Sealed      bool      `json:"sealed"`
	Seq         *int64    `json:"seq"`
	RequestID   string    `json:"request_id"`
}

// AddressListOptions narrow a list of addresses. Search is how one begins.
type AddressListOptions struct {
	Page   int    `json:"page,omitempty"`
	Limit  int    `json:"limit,omitempty"`
	Search string `json:"search,omitempty"`
}

func (o *AddressListOptions) pageNumber() *int { return &o.Page }

// AuditLogOptions narrow the audit log. Dates are "2024-01-15" or times; a bare EndDate includes that day.
type AuditLogOptions struct {
	Page      int    `json:"page,omitempty"`
	Limit     int    `json:"limit,omitempty"`
	StartDate string `json:"start_date,omitempty"`
	EndDate   string `json:"end_date,omitempty"`
	EventType string `json:"event_type,omitempty"`
	Severity  string `json:"severity,omitempty"`
	Outcome   string `json:"outcome,omitempty"`
	UserID    string `json:"user_id,omitempty"`
	SourceIP  string `json:"source_ip,omitempty"`
	Action    string `json:"action,omitempty"`
}

func (o *AuditLogOptions) pageNumber() *int { return &o.Page }

// RateLimit is so many requests in so many seconds.
type RateLimit struct {
	MaxRequests   int64 `json:"max_requests"`
	WindowSeconds int64 `json:"window_seconds"`
}

// RateLimits are the limits of the API: of everybody together, of each address, of each key or user.
type RateLimits struct {
	Global  *RateLimit `json:"global,omitempty"`
	PerIP   *RateLimit `json:"per_ip,omitempty"`
	PerUser *RateLimit `json:"per_user,omitempty"`
	Usage   Object     `json:"usage,omitempty"`
}

// GetOverview says how safe the server stands, and what happened.
func (s *Security) GetOverview(how *ExplainOptions, options ...Option) (*SecurityOverview, error) {
	return ask[SecurityOverview](s.to, call{method: http.MethodGet, segments: at("security", "overview"), query: how}, options)
}

// ListChecks lists the posture checks behind the score.
func (s *Security) ListChecks(which *PageOptions, options ...Option) (*Page[PostureCheck], error) {
	return ask[Page[PostureCheck]](s.to, call{method: http.MethodGet, segments: at("security", "checks"), query: which}, options)
}

// IterateChecks walks through all posture checks.
func (s *Security) IterateChecks(which *PageOptions, options ...Option) *Iterator[PostureCheck] {
	return iterate(which, s.ListChecks, options)
}

// ListBlockedIPs lists blocked addresses and networks.
func (s *Security) ListBlockedIPs(which *AddressListOptions, options ...Option) (*Page[BlockedIP], error) {
	return ask[Page[BlockedIP]](s.to, call{method: http.MethodGet, segments: at("security", "blocked-ips"), query: which}, options)
}

// IterateBlockedIPs walks through all blocked addresses.
func (s *Security) IterateBlockedIPs(which *AddressListOptions, options ...Option) *Iterator[BlockedIP] {
	return iterate(which, s.ListBlockedIPs, options)
}

// GetBlockedIP shows a block.
func (s *Security) GetBlockedIP(address string, options ...Option) (*BlockedIP, error) {
	return ask[BlockedIP](s.to, call{method: http.MethodGet, segments: at("security", "blocked-ips", address)}, options)
}

// BlockIP blocks an address or network on every port.
func (s *Security) BlockIP(block *BlockOptions, options ...Option) (*BlockedIP, error) {
	return ask[BlockedIP](s.to, call{method: http.MethodPost, segments: at("security", "block-ip"), body: block}, options)
}

// UnblockIP lifts a block.
func (s *Security) UnblockIP(address string, options ...Option) error {
	return s.to.do(call{method: http.MethodDelete, segments: at("security", "blocked-ips", address)}, options)
}

// ListAllowedIPs lists addresses and networks that are never blocked.
func (s *Security) ListAllowedIPs(which *AddressListOptions, options ...Option) (*Page[AllowedIP], error) {
	return ask[Page[AllowedIP]](s.to, call{method: http.MethodGet, segments: at("security", "allowed-ips"), query: which}, options)
}

// IterateAllowedIPs walks through all addresses that are never blocked.
func (s *Security) IterateAllowedIPs(which *AddressListOptions, options ...Option) *Iterator[AllowedIP] {
	return iterate(which, s.ListAllowedIPs, options)
}

// GetAllowedIP shows an entry of the allow-list.
func (s *Security) GetAllowedIP(address string, options ...Option) (*AllowedIP, error) {
	return ask[AllowedIP](s.to, call{method: http.MethodGet, segments: at("security", "allowed-ips", address)}, options)
}

// AllowIP puts an address or network on the allow-list: it is never blocked.
func (s *Security) AllowIP(entry *AllowOptions, options ...Option) (*AllowedIP, error) {
	return ask[AllowedIP](s.to, call{method: http.MethodPost, segments: at("security", "allowed-ips"), body: entry}, options)
}

// DisallowIP takes an address off the allow-list.
func (s *Security) DisallowIP(address string, options ...Option) error {
	return s.to.do(call{method: http.MethodDelete, segments: at("security", "allowed-ips", address)}, options)
}

// ListAuditLogs reads the audit log, newest first.
func (s *Security) ListAuditLogs(which *AuditLogOptions, options ...Option) (*Page[AuditLog], error) {
	return ask[Page[AuditLog]](s.to, call{method: http.MethodGet, segments: at("security", "audit-logs"), query: which}, options)
}

// IterateAuditLogs walks through all rows of the audit log.
func (s *Security) IterateAuditLogs(which *AuditLogOptions, options ...Option) *Iterator[AuditLog] {
	return iterate(which, s.ListAuditLogs, options)
}

// GetRateLimits shows the rate limits of the API, and how far they are used.
func (s *Security) GetRateLimits(options ...Option) (*RateLimits, error) {
	return ask[RateLimits](s.to, call{method: http.MethodGet, segments: at("security", "rate-limits")}, options)
}

// SetRateLimits sets the rate limits that are not nil, for all processes at once.
func (s *Security) SetRateLimits(limits *RateLimits, options ...Option) (*RateLimits, error) {
	return ask[RateLimits](s.to, call{method: http.MethodPut, segments: at("security", "rate-limits"), body: limits}, options)
}
