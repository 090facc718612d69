package a3mailer

import (
	"net/http"
	"time"
)

// Domains are domains and their limits.
type Domains struct{ to *transport }

// Domain is a domain. Quotas are in bytes; 0 for no limit.
type Domain struct {
	ID            string    `json:"id"`
	Domain        string    `json:"domain"`
	Enabled       bool      `json:"enabled"`
	MaxUsers      int64     `json:"max_users"`
	MaxQuota      int64     `json:"max_quota"`
	SendLimitHour int64     `json:"send_limit_hour"`
	SendLimitDay  int64     `json:"send_limit_day"`
	UserCount     int64     `json:"user_count"`
	UsedQuota     int64     `json:"used_quota"`
	CreatedAt     time.Time `json:"created_at"`
	// Of a domain in the trash.
	DeletedAt       *time.Time `json:"deleted_at,omitempty"`
	RestorableUntil *time.Time `json:"restorable_until,omitempty"`
	// ETag names the state that was read, for WithIfMatch.
	ETag string `json:"-"`
}

func (d *Domain) setETag(etag string) { d.ETag = etag }

// DomainCreateOptions are a new domain.
type DomainCreateOptions struct {
	Domain        string `json:"domain"`
	Enabled       *bool  `json:"enabled,omitempty"`
	MaxUsers      int64  `json:"max_users,omitempty"`
	MaxQuota      int64  `json:"max_quota,omitempty"`
	SendLimitHour int64  `json:"send_limit_hour,omitempty"`
	SendLimitDay  int64  `json:"send_limit_day,omitempty"`
}

// DomainUpdateOptions are changes of a domain; nil leaves what is there.
type DomainUpdateOptions struct {
	Enabled       *bool  `json:"enabled,omitempty"`
	MaxUsers      *int64 `json:"max_users,omitempty"`
	MaxQuota      *int64 `json:"max_quota,omitempty"`
	SendLimitHour *int64 `json:"send_limit_hour,omitempty"`
	SendLimitDay  *int64 `json:"send_limit_day,omitempty"`
}

// DomainListOptions narrow a list of domains. Search is a part of the name; Deleted shows the trash.
type DomainListOptions struct {
	Page    int    `json:"page,omitempty"`
	Limit   int    `json:"limit,omitempty"`
	Search  string `json:"search,omitempty"`
	Deleted bool   `json:"deleted,omitempty"`
}

func (o *DomainListOptions) pageNumber() *int { return &o.Page }

// Create adds a domain.
func (d *Domains) Create(domain *DomainCreateOptions, options ...Option) (*Domain, error) {
	return ask[Domain](d.to, call{method: http.MethodPost, segments: at("domains"), body: domain}, options)
}

// List lists domains.
func (d *Domains) List(which *DomainListOptions, options ...Option) (*Page[Domain], error) {
	return ask[Page[Domain]](d.to, call{method: http.MethodGet, segments: at("domains"), query: which}, options)
}

// Iterate walks through all domains.
func (d *Domains) Iterate(which *DomainListOptions, options ...Option) *Iterator[Domain] {
	return iterate(which, d.List, options)
}

// Get shows a domain.
func (d *Domains) Get(id string, options ...Option) (*Domain, error) {
	return ask[Domain](d.to, call{method: http.MethodGet, segments: at("domains", id)}, options)
}

// Update changes what is not nil; under WithIfMatch(domain.ETag) only if nobody else has changed the domain.
func (d *Domains) Update(id string, changes *DomainUpdateOptions, options ...Option) (*Domain, error) {
	return ask[Domain](d.to, call{method: http.MethodPut, segments: at("domains", id), body: changes}, options)
}

// Delete deletes a domain that has no users: into the trash, from where Restore takes it back.
func (d *Domains) Delete(id string, options ...Option) error {
	return d.to.do(call{method: http.MethodDelete, segments: at("domains", id)}, options)
}

// Restore takes a domain out of the trash.
func (d *Domains) Restore(id string, options ...Option) (*Domain, error) {
	return ask[Domain](d.to, call{method: http.MethodPost, segments: at("domains", id, "restore")}, options)
}
