package a3mailer

import (
	"net/http"
	"time"
)

// Users are users and their mailboxes.
type Users struct{ to *transport }

// User is a user. Quotas are in bytes, 0 for none.
type User struct {
	ID            string     `json:"id"`
	Username      string     `json:"username"`
	Email         string     `json:"email"`
	Quota         int64      `json:"quota"`
	UsedQuota     int64      `json:"used_quota"`
	UndoSeconds   int64      `json:"undo_seconds"`
	SendLimitHour *int64     `json:"send_limit_hour"`
	SendLimitDay  *int64     `json:"send_limit_day"`
	Enabled       bool       `json:"enabled"`
	Groups        []string   `json:"groups"`
	CreatedAt     time.Time  `json:"created_at"`
	LastLogin     *time.Time `json:"last_login"`
	// Of a user in the trash.
	DeletedAt       *time.Time `json:"deleted_at,omitempty"`
	RestorableUntil *time.Time `json:"restorable_until,omitempty"`
	// ETag names the state that was read, for WithIfMatch.
	ETag string `json:"-"`
}

func (u *User) setETag(etag string) { u.ETag = etag }

// UserCreateOptions are a new user.
type UserCreateOptions struct {
	Username      string   `json:"username"`
	Email         string   `json:"email"`
	Password      string   `json:"password"`
	Quota         *int64   `json:"quota,omitempty"`
	UndoSeconds   *int64   `json:"undo_seconds,omitempty"`
	SendLimitHour *int64   `json:"send_limit_hour,omitempty"`
	SendLimitDay  *int64   `json:"send_limit_day,omitempty"`
	Enabled       *bool    `json:"enabled,omitempty"`
	Groups        []string `json:"groups,omitempty"`
}

// UserUpdateOptions are changes of a user; nil leaves what is there.
type UserUpdateOptions struct {
	Username      *string   `json:"username,omitempty"`
	Email         *string   `json:"email,omitempty"`
	Password      *string   `json:"password,omitempty"`
	Quota         *int64    `json:"quota,omitempty"`
	UndoSeconds   *int64    `json:"undo_seconds,omitempty"`
	SendLimitHour *int64    `json:"send_limit_hour,omitempty"`
	SendLimitDay  *int64    `json:"send_limit_day,omitempty"`
	Enabled       *bool     `json:"enabled,omitempty"`
	Groups        *[]string `json:"groups,omitempty"`
}

// UserListOptions narrow a list of users. Search is a part of the login name or the address; Deleted shows the trash.
type UserListOptions struct {
	Page    int    `json:"page,omitempty"`
	Limit   int    `json:"limit,omitempty"`
	Search  string `json:"search,omitempty"`
	Deleted bool   `json:"deleted,omitempty"`
}

func (o *UserListOptions) pageNumber() *int { return &o.Page }

// Imported says what came of making many users.
type Imported struct {
	Created int64         `json:"created"`
	Failed  int64         `json:"failed"`
	Results []ImportedRow `json:"results"`
}

// ImportedRow says what came of one row, counted from 1: "created" with an ID, or "failed" with an error.
type ImportedRow struct {
	Row    int64     `json:"row"`
	Status string    `json:"status"`
	ID     string    `json:"id,omitempty"`
	Error  *RowError `json:"error,omitempty"`
}

// RowError says what is wrong with a row.
type RowError struct {
	Code    string              `json:"code"`
	Details string              `json:"details"`
	Fields  map[string][]string `json:"fields"`
}

type bulk struct {
	Users []UserCreateOptions `json:"users"`
}

// Create makes a user with a mailbox. The domain of the address must be on the server.
func (u *Users) Create(user *UserCreateOptions, options ...Option) (*User, error) {
	return ask[User](u.to, call{method: http.MethodPost, segments: at("users"), body: user}, options)
}

// List lists users.
func (u *Users) List(which *UserListOptions, options ...Option) (*Page[User], error) {
	return ask[Page[User]](u.to, call{method: http.MethodGet, segments: at("users"), query: which}, options)
}

// Iterate walks through all users.
func (u *Users) Iterate(which *UserListOptions, options ...Option) *Iterator[User] {
	return iterate(which, u.List, options)
}

// Get shows a user.
func (u *Users) Get(id string, options ...Option) (*User, error) {
	return ask[User](u.to, call{method: http.MethodGet, segments: at("users", id)}, options)
}

// Update changes what is not nil; under WithIfMatch(user.ETag) only if nobody else has changed the user.
func (u *Users) Update(id string, changes *UserUpdateOptions, options ...Option) (*User, error) {
	return ask[User](u.to, call{method: http.MethodPut, segments: at("users", id), body: changes}, options)
}

// Delete deletes a user: into the trash, from where Restore takes it back.
func (u *Users) Delete(id string, options ...Option) error {
	return u.to.do(call{method: http.MethodDelete, segments: at("users", id)}, options)
}

// Restore takes a user out of the trash.
func (u *Users) Restore(id string, options ...Option) (*User, error) {
	return ask[User](u.to, call{method: http.MethodPost, segments: at("users", id, "restore")}, options)
}

// BulkCreate makes many users; each is made or refused for itself.
func (u *Users) BulkCreate(users []UserCreateOptions, how *DryRunOptions, options ...Option) (*Imported, error) {
	return ask[Imported](u.to, call{method: http.MethodPost, segments: at("users", "bulk"), query: how, body: bulk{users}}, options)
}

// ImportCSV makes many users from a table, whose first line names the columns.
func (u *Users) ImportCSV(csv string, how *DryRunOptions, options ...Option) (*Imported, error) {
	return ask[Imported](u.to, call{method: http.MethodPost, segments: at("users", "import"), query: how, csv: csv}, options)
}
