package a3mailer

import (
	"net/http"
	"time"
)

// Groups are groups of users.
type Groups struct{ to *transport }

// UserGroup is a group of users.
type UserGroup struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Members   int64      `json:"members"`
	BuiltIn   bool       `json:"built_in"`
	CreatedAt *time.Time `json:"created_at"`
}

// GroupOptions are a new group, or the new name of one.
type GroupOptions struct {
	Name string `json:"name"`
}

// Create makes a group.
func (g *Groups) Create(group *GroupOptions, options ...Option) (*UserGroup, error) {
	return ask[UserGroup](g.to, call{method: http.MethodPost, segments: at("groups"), body: group}, options)
}

// List lists groups.
func (g *Groups) List(which *PageOptions, options ...Option) (*Page[UserGroup], error) {
	return ask[Page[UserGroup]](g.to, call{method: http.MethodGet, segments: at("groups"), query: which}, options)
}

// Iterate walks through all groups.
func (g *Groups) Iterate(which *PageOptions, options ...Option) *Iterator[UserGroup] {
	return iterate(which, g.List, options)
}

// Get shows a group.
func (g *Groups) Get(id string, options ...Option) (*UserGroup, error) {
	return ask[UserGroup](g.to, call{method: http.MethodGet, segments: at("groups", id)}, options)
}

// Update renames a group.
func (g *Groups) Update(id string, changes *GroupOptions, options ...Option) (*UserGroup, error) {
	return ask[UserGroup](g.to, call{method: http.MethodPut, segments: at("groups", id), body: changes}, options)
}

// Delete deletes a group; its members stay.
func (g *Groups) Delete(id string, options ...Option) error {
	return g.to.do(call{method: http.MethodDelete, segments: at("groups", id)}, options)
}
