package a3mailer

import (
	"net/http"
	"time"
)

// Aliases are addresses that stand for others.
type Aliases struct{ to *transport }

// Alias is an address that stands for others.
type Alias struct {
	ID        string    `json:"id"`
	Address   string    `json:"address"`
	Targets   []string  `json:"targets"`
	Enabled   bool      `json:"enabled"`
	CreatedAt time.Time `json:"created_at"`
}

// AliasCreateOptions are a new alias.
type AliasCreateOptions struct {
	Address string   `json:"address"`
	Targets []string `json:"targets"`
	Enabled *bool    `json:"enabled,omitempty"`
}

// AliasUpdateOptions are changes of an alias; nil leaves what is there.
type AliasUpdateOptions struct {
	Address *string  `json:"address,omitempty"`
	Targets []string `json:"targets,omitempty"`
	Enabled *bool    `json:"enabled,omitempty"`
}

// AliasListOptions narrow a list of aliases. Search is a part of the address.
type AliasListOptions struct {
	Page   int    `json:"page,omitempty"`
	Limit  int    `json:"limit,omitempty"`
	Search string `json:"search,omitempty"`
}

func (o *AliasListOptions) pageNumber() *int { return &o.Page }

// Create makes an alias.
func (a *Aliases) Create(alias *AliasCreateOptions, options ...Option) (*Alias, error) {
	return ask[Alias](a.to, call{method: http.MethodPost, segments: at("aliases"), body: alias}, options)
}

// List lists aliases.
func (a *Aliases) List(which *AliasListOptions, options ...Option) (*Page[Alias], error) {
	return ask[Page[Alias]](a.to, call{method: http.MethodGet, segments: at("aliases"), query: which}, options)
}

// Iterate walks through all aliases.
func (a *Aliases) Iterate(which *AliasListOptions, options ...Option) *Iterator[Alias] {
	return iterate(which, a.List, options)
}

// Get shows an alias.
func (a *Aliases) Get(id string, options ...Option) (*Alias, error) {
	return ask[Alias](a.to, call{method: http.MethodGet, segments: at("aliases", id)}, options)
}

// Update changes what is not nil.
func (a *Aliases) Update(id string, changes *AliasUpdateOptions, options ...Option) (*Alias, error) {
	return ask[Alias](a.to, call{method: http.MethodPut, segments: at("aliases", id), body: changes}, options)
}

// Delete deletes an alias.
func (a *Aliases) Delete(id string, options ...Option) error {
	return a.to.do(call{method: http.MethodDelete, segments: at("aliases", id)}, options)
}
