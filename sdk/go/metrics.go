package a3mailer

import (
	"net/http"
	"time"
)

// Metrics are measurements. A number that was not measured is nil.
type Metrics struct{ to *transport }

// ExplainOptions ask where each number comes from; the answer is in Explain.
type ExplainOptions struct {
	Explain bool `json:"explain,omitempty"`
}

// SystemMetrics are of the machine: bytes, seconds, and percent of all processors.
type SystemMetrics struct {
	Timestamp         time.Time           `json:"timestamp"`
	CPUUsage          *float64            `json:"cpu_usage"`
	MemoryUsage       *int64              `json:"memory_usage"`
	MemoryTotal       *int64              `json:"memory_total"`
	DiskUsage         *int64              `json:"disk_usage"`
	DiskTotal         *int64              `json:"disk_total"`
	NetworkRxBytes    *int64              `json:"network_rx_bytes"`
	NetworkTxBytes    *int64              `json:"network_tx_bytes"`
	LoadAverage       map[string]*float64 `json:"load_average"`
	ActiveConnections *int64              `json:"active_connections"`
	Uptime            *int64              `json:"uptime"`
	Explain           map[string]Object   `json:"explain,omitempty"`
}

// ApplicationMetrics are of the server: times in milliseconds, rates from 0 to 1.
type ApplicationMetrics struct {
	Timestamp          time.Time           `json:"timestamp"`
	TotalRequests      *int64              `json:"total_requests"`
	SuccessfulRequests *int64              `json:"successful_requests"`
	FailedRequests     *int64              `json:"failed_requests"`
	AvgResponseTime    *float64            `json:"avg_response_time"`
	P95ResponseTime    *float64            `json:"p95_response_time"`
	P99ResponseTime    *float64            `json:"p99_response_time"`
	RequestsPerSecond  *float64            `json:"requests_per_second"`
	ActiveSessions     *int64              `json:"active_sessions"`
	QueueSizes         map[string]*int64   `json:"queue_sizes"`
	CacheHitRates      map[string]*float64 `json:"cache_hit_rates"`
	Explain            map[string]Object   `json:"explain,omitempty"`
}

// CustomMetricOptions are a sample: added to a counter, put into a gauge.
type CustomMetricOptions struct {
	Name   string            `json:"name"`
	Type   string            `json:"type"`
	Value  float64           `json:"value"`
	Labels map[string]string `json:"labels,omitempty"`
}

// Series is a custom metric under one set of labels. A histogram has no Value, but Count, Sum and Buckets.
type Series struct {
	Labels    map[string]string `json:"labels"`
	Value     *float64          `json:"value,omitempty"`
	Timestamp time.Time         `json:"timestamp"`
	Count     *int64            `json:"count,omitempty"`
	Sum       *float64          `json:"sum,omitempty"`
	Buckets   map[string]int64  `json:"buckets,omitempty"`
}

// Sample is what is stored of a custom metric now.
type Sample struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Series
}

// CustomMetric is a custom metric.
type CustomMetric struct {
	Name        string     `json:"name"`
	Type        string     `json:"type"`
	SeriesCount int64      `json:"series_count"`
	CreatedAt   time.Time  `json:"created_at"`
	UpdatedAt   *time.Time `json:"updated_at"`
}

// CustomMetricSeries is a custom metric with all its label sets.
type CustomMetricSeries struct {
	Name   string   `json:"name"`
	Type   string   `json:"type"`
	Series []Series `json:"series"`
}

// GetPrometheusMetrics returns all figures in Prometheus' text format.
func (m *Metrics) GetPrometheusMetrics(options ...Option) (string, error) {
	content, _, err := m.to.send(call{method: http.MethodGet, root: true, segments: at("metrics"), accept: "text/plain, */*;q=0.5"}, options)
	return string(content), err
}

// GetSystemMetrics measures the machine.
func (m *Metrics) GetSystemMetrics(how *ExplainOptions, options ...Option) (*SystemMetrics, error) {
	return ask[SystemMetrics](m.to, call{method: http.MethodGet, segments: at("metrics", "system"), query: how}, options)
}

// GetApplicationMetrics measures the server: requests, sessions, queues, caches.
func (m *Metrics) GetApplicationMetrics(how *ExplainOptions, options ...Option) (*ApplicationMetrics, error) {
	return ask[ApplicationMetrics](m.to, call{method: http.MethodGet, segments: at("metrics", "application"), query: how}, options)
}

// SetCustomMetric adds to a counter of your own, or sets a gauge.
func (m *Metrics) SetCustomMetric(metric *CustomMetricOptions, options ...Option) (*Sample, error) {
	return ask[Sample](m.to, call{method: http.MethodPost, segments: at("metrics", "custom"), body: metric}, options)
}

// ListCustomMetrics lists custom metrics.
func (m *Metrics) ListCustomMetrics(which *PageOptions, options ...Option) (*Page[CustomMetric], error) {
	return ask[Page[CustomMetric]](m.to, call{method: http.MethodGet, segments: at("metrics", "custom"), query: which}, options)
}

// IterateCustomMetrics walks through all custom metrics.
func (m *Metrics) IterateCustomMetrics(which *PageOptions, options ...Option) *Iterator[CustomMetric] {
	return iterate(which, m.ListCustomMetrics, options)
}

// GetCustomMetric shows a custom metric with all its label sets.
func (m *Metrics) GetCustomMetric(name string, options ...Option) (*CustomMetricSeries, error) {
	return ask[CustomMetricSeries](m.to, call{method: http.MethodGet, segments: at("metrics", "custom", name)}, options)
}

// DeleteCustomMetric forgets a custom metric.
func (m *Metrics) DeleteCustomMetric(name string, options ...Option) error {
	return m.to.do(call{method: http.MethodDelete, segments: at("metrics", "custom", name)}, options)
}
