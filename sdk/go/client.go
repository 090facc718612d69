// Package a3mailer is a client of A3Mailer's management API.
//
//	client := a3mailer.NewClient("https://mail.example.com", "sk_live_…")
//	user, err := client.Users.Create(&a3mailer.UserCreateOptions{
//		Username: "jane", Email: "jane@example.com", Password: "…",
//	})
//
// Every method takes options of the call at its end, such as WithContext and WithTimeout. A *Client may be used by many
// goroutines.
package a3mailer

// Client has the operations of the API, by group.
type Client struct {
	Keys        *Keys
	Server      *Server
	Users       *Users
	Domains     *Domains
	Aliases     *Aliases
	Groups      *Groups
	Queue       *Queue
	Messages    *Messages
	Webhooks    *Webhooks
	Metrics     *Metrics
	Security    *Security
	Performance *Performance
	Health      *Health
}

// NewClient makes a client of the server at baseURL. If a key must not be sent there (clear-text HTTP to another machine
// without AllowHTTP), every call returns an error that says so.
func NewClient(baseURL, apiKey string, options ...Option) *Client {
	to := newTransport(baseURL, apiKey, options)
	return &Client{
		Keys:        &Keys{to},
		Server:      &Server{to},
		Users:       &Users{to},
		Domains:     &Domains{to},
		Aliases:     &Aliases{to},
		Groups:      &Groups{to},
		Queue:       &Queue{to},
		Messages:    &Messages{to},
		Webhooks:    &Webhooks{to},
		Metrics:     &Metrics{to},
		Security:    &Security{to},
		Performance: &Performance{to},
		Health:      &Health{to},
	}
}

// Ptr returns a pointer to a value, for members that may be left out.
func Ptr[T any](value T) *T { return &value }
