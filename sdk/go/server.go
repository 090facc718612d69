package a3mailer

import (
	"net/http"
	"time"
)

// Server is the server as a whole.
type Server struct{ to *transport }

// ServerInfo says what server this is. Uptime is in seconds.
type ServerInfo struct {
	Version   string            `json:"version"`
	BuildDate *time.Time        `json:"build_date"`
	Uptime    int64             `json:"uptime"`
	Hostname  string            `json:"hostname"`
	Features  []string          `json:"features"`
	Status    string            `json:"status"`
	Listeners map[string]string `json:"listeners"`
}

// Restart is a restart that has begun.
type Restart struct {
	Status    string `json:"status"`
	RequestID string `json:"request_id"`
}

// Reload says what a reload changed, or would change.
type Reload struct {
	Status   string   `json:"status"`
	Changes  []Change `json:"changes"`
	Warnings []string `json:"warnings"`
}

// Change is a setting that a reload changed.
type Change struct {
	Name   string `json:"name"`
	Before any    `json:"before"`
	After  any    `json:"after"`
}

// Object is an answer, or a part of one, of which this version knows nothing more.
type Object map[string]any

// DryRunOptions ask what would be done.
type DryRunOptions struct {
	DryRun bool `json:"dry_run,omitempty"`
}

// GetInfo says what server this is, since when it runs and what it listens on.
func (s *Server) GetInfo(options ...Option) (*ServerInfo, error) {
	return ask[ServerInfo](s.to, call{method: http.MethodGet, segments: at("server", "info")}, options)
}

// Restart replaces the server's processes, without refusing a connection.
func (s *Server) Restart(options ...Option) (*Restart, error) {
	return ask[Restart](s.to, call{method: http.MethodPost, segments: at("server", "restart")}, options)
}

// Reload checks settings and certificates, then puts them in force.
func (s *Server) Reload(how *DryRunOptions, options ...Option) (*Reload, error) {
	return ask[Reload](s.to, call{method: http.MethodPost, segments: at("server", "reload"), query: how}, options)
}

// GetSchema returns the OpenAPI document of the API.
func (s *Server) GetSchema(options ...Option) (*Object, error) {
	return ask[Object](s.to, call{method: http.MethodGet, segments: at("schema"), accept: "application/vnd.oai.openapi+json"}, options)
}
