package a3mailer

import (
	"net/http"
	"time"
)

// Keys are API keys. All of it needs "admin".
type Keys struct{ to *transport }

// APIKey is an API key, without its secret.
type APIKey struct {
	KeyID           string     `json:"key_id"`
	Name            string     `json:"name"`
	Permissions     []string   `json:"permissions"`
	CreatedAt       time.Time  `json:"created_at"`
	ExpiresAt       *time.Time `json:"expires_at"`
	LastUsedAt      *time.Time `json:"last_used_at"`
	AllowedNetworks []string   `json:"allowed_networks"`
	Domains         []string   `json:"domains"`
}

// NewAPIKey is a key just made: the only answer with its secret.
type NewAPIKey struct {
	KeyID           string     `json:"key_id"`
	APIKey          string     `json:"api_key"`
	Name            string     `json:"name"`
	Permissions     []string   `json:"permissions"`
	CreatedAt       time.Time  `json:"created_at"`
	ExpiresAt       *time.Time `json:"expires_at"`
	AllowedNetworks []string   `json:"allowed_networks"`
	Domains         []string   `json:"domains"`
}

// KeyCreateOptions are a new key, bound to AllowedNetworks and Domains if these are given.
type KeyCreateOptions struct {
	Name            string     `json:"name"`
	Permissions     []string   `json:"permissions"`
	ExpiresAt       *time.Time `json:"expires_at,omitempty"`
	AllowedNetworks []string   `json:"allowed_networks,omitempty"`
	Domains         []string   `json:"domains,omitempty"`
}

// Create makes a key. The answer is the only place where its secret ever stands.
func (k *Keys) Create(key *KeyCreateOptions, options ...Option) (*NewAPIKey, error) {
	return ask[NewAPIKey](k.to, call{method: http.MethodPost, segments: at("auth", "keys"), body: key}, options)
}

// List lists keys, without their secrets.
func (k *Keys) List(which *PageOptions, options ...Option) (*Page[APIKey], error) {
	return ask[Page[APIKey]](k.to, call{method: http.MethodGet, segments: at("auth", "keys"), query: which}, options)
}

// Iterate walks through all keys.
func (k *Keys) Iterate(which *PageOptions, options ...Option) *Iterator[APIKey] {
	return iterate(which, k.List, options)
}

// Get shows a key, without its secret.
func (k *Keys) Get(id string, options ...Option) (*APIKey, error) {
	return ask[APIKey](k.to, call{method: http.MethodGet, segments: at("auth", "keys", id)}, options)
}

// Delete revokes a key.
func (k *Keys) Delete(id string, options ...Option) error {
	return k.to.do(call{method: http.MethodDelete, segments: at("auth", "keys", id)}, options)
}
