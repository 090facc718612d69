package a3mailer

import (
	"net/http"
	"time"
)

// Performance is how fast the server is, and what would make it faster.
type Performance struct{ to *transport }

// PerformanceStats are of pools, caches and requests: times in milliseconds, sizes in bytes, rates from 0 to 1. A number
// that was not measured is nil.
type PerformanceStats struct {
	ConnectionPool     Object            `json:"connection_pool"`
	CachePerformance   Object            `json:"cache_performance"`
	RequestPerformance Object            `json:"request_performance"`
	Pools              Object            `json:"pools"`
	Explain            map[string]Object `json:"explain,omitempty"`
}

// Recommendations say what would make the server faster; often nothing.
type Recommendations struct {
	Recommendations []Recommendation `json:"recommendations"`
}

// Recommendation says what would make the server faster.
type Recommendation struct {
	Category     string               `json:"category"`
	Priority     string               `json:"priority"`
	Title        string               `json:"title"`
	Description  string               `json:"description"`
	Impact       string               `json:"impact"`
	Action       string               `json:"action"`
	Evidence     Object               `json:"evidence,omitempty"`
	Optimization *OptimizationOptions `json:"optimization,omitempty"`
}

// OptimizationOptions are what to resize, and how far: "cache_size" in bytes, "connection_pool_size" in connections.
type OptimizationOptions struct {
	Type  string `json:"type"`
	Value int64  `json:"value"`
}

// Optimized says what was resized, and what was refused.
type Optimized struct {
	Applied  []Object `json:"applied"`
	Rejected []Object `json:"rejected"`
}

// Optimization is an optimization that was applied.
type Optimization struct {
	ID         string     `json:"id"`
	Type       string     `json:"type"`
	Previous   int64      `json:"previous"`
	Value      int64      `json:"value"`
	AppliedAt  time.Time  `json:"applied_at"`
	AppliedBy  *string    `json:"applied_by"`
	RevertedAt *time.Time `json:"reverted_at"`
	RevertedBy *string    `json:"reverted_by"`
}

type optimizations struct {
	Optimizations []OptimizationOptions `json:"optimizations"`
}

// GetStats measures pools, caches and requests.
func (p *Performance) GetStats(how *ExplainOptions, options ...Option) (*PerformanceStats, error) {
	return ask[PerformanceStats](p.to, call{method: http.MethodGet, segments: at("performance", "stats"), query: how}, options)
}

// GetRecommendations says what would make the server faster; nothing when nothing would.
func (p *Performance) GetRecommendations(options ...Option) (*Recommendations, error) {
	return ask[Recommendations](p.to, call{method: http.MethodGet, segments: at("performance", "recommendations")}, options)
}

// Optimize resizes caches and pools of the running processes.
func (p *Performance) Optimize(sizes []OptimizationOptions, how *DryRunOptions, options ...Option) (*Optimized, error) {
	return ask[Optimized](p.to, call{method: http.MethodPost, segments: at("performance", "optimize"), query: how, body: optimizations{sizes}}, options)
}

// ListOptimizations lists optimizations that were applied.
func (p *Performance) ListOptimizations(which *PageOptions, options ...Option) (*Page[Optimization], error) {
	return ask[Page[Optimization]](p.to, call{method: http.MethodGet, segments: at("performance", "optimizations"), query: which}, options)
}

// IterateOptimizations walks through all optimizations that were applied.
func (p *Performance) IterateOptimizations(which *PageOptions, options ...Option) *Iterator[Optimization] {
	return iterate(which, p.ListOptimizations, options)
}

// RevertOptimization takes an optimization back.
func (p *Performance) RevertOptimization(id string, options ...Option) (*Optimization, error) {
	return ask[Optimization](p.to, call{method: http.MethodPost, segments: at("performance", "optimizations", id, "revert")}, options)
}
