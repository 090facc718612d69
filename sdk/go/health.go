package a3mailer

import (
	"net/http"
	"time"
)

// Health is how the server is. An unhealthy server answers, too: that is no error.
type Health struct{ to *transport }

// HealthCheck says how one part is: "healthy", "degraded", "unhealthy" or "unknown". ResponseTime is in milliseconds.
type HealthCheck struct {
	Status       string   `json:"status"`
	ResponseTime *float64 `json:"response_time"`
	Details      Object   `json:"details"`
}

// ComponentHealth says how one part is, just checked.
type ComponentHealth struct {
	HealthCheck
	Component string    `json:"component"`
	Timestamp time.Time `json:"timestamp"`
}

// HealthStatus says how the server is. A stranger sees only status and timestamp.
type HealthStatus struct {
	Status    string                 `json:"status"`
	Timestamp time.Time              `json:"timestamp"`
	Uptime    *int64                 `json:"uptime,omitempty"`
	Version   string                 `json:"version,omitempty"`
	Checks    map[string]HealthCheck `json:"checks,omitempty"`
}

// Readiness says whether every service answers.
type Readiness struct {
	Ready     bool              `json:"ready"`
	Timestamp time.Time         `json:"timestamp"`
	Services  map[string]bool   `json:"services"`
	Details   map[string]string `json:"details,omitempty"`
}

// GetStatus says how the server is.
func (h *Health) GetStatus(options ...Option) (*HealthStatus, error) {
	return ask[HealthStatus](h.to, call{method: http.MethodGet, root: true, segments: at("health"), also: http.StatusServiceUnavailable}, options)
}

// GetDetailed says how each part of the server is.
func (h *Health) GetDetailed(options ...Option) (*HealthStatus, error) {
	return ask[HealthStatus](h.to, call{method: http.MethodGet, segments: at("health", "detailed"), also: http.StatusServiceUnavailable}, options)
}

// Check checks one part now.
func (h *Health) Check(component string, options ...Option) (*ComponentHealth, error) {
	return ask[ComponentHealth](h.to, call{method: http.MethodPost, segments: at("health", "check", component)}, options)
}

// GetReadiness says whether every service answers.
func (h *Health) GetReadiness(options ...Option) (*Readiness, error) {
	return ask[Readiness](h.to, call{method: http.MethodGet, root: true, segments: at("ready"), also: http.StatusServiceUnavailable}, options)
}
