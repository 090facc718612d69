package a3mailer

import (
	"bytes"
	"encoding/json"
)

// Page is a part of a list. Rows are the member named like the collection: "users", "domains".
type Page[T any] struct {
	Rows  []T
	Total int
	Page  int
	Limit int
	// What else the envelope has: "total_is_exact", false where the list is too long to be counted and ends at Total.
	More       Object
	collection string
}

// UnmarshalJSON reads the envelope of a list; its rows are in the one member that is an array.
func (p *Page[T]) UnmarshalJSON(content []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(content, &members); err != nil {
		return err
	}
	p.More = Object{}
	numbers := map[string]*int{"total": &p.Total, "page": &p.Page, "limit": &p.Limit}
	for name, value := range members {
		var err error
		if number, known := numbers[name]; known {
			err = json.Unmarshal(value, number)
		} else if bytes.HasPrefix(value, []byte("[")) {
			p.collection = name
			err = json.Unmarshal(value, &p.Rows)
		} else {
			var other any
			err = json.Unmarshal(value, &other)
			p.More[name] = other
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// MarshalJSON writes the envelope as it was read.
func (p Page[T]) MarshalJSON() ([]byte, error) {
	members := map[string]any{p.collection: p.Rows, "total": p.Total, "page": p.Page, "limit": p.Limit}
	for name, value := range p.More {
		members[name] = value
	}
	return json.Marshal(members)
}

// PageOptions choose a part of a list; zero is the server's default.
type PageOptions struct {
	Page  int `json:"page,omitempty"`
	Limit int `json:"limit,omitempty"`
}

func (o *PageOptions) pageNumber() *int { return &o.Page }

// Iterator walks through all rows of a list, page by page:
//
//	users := client.Users.Iterate(nil)
//	for users.Next() {
//		fmt.Println(users.Row().Email)
//	}
//	return users.Err()
type Iterator[T any] struct {
	turn func() (*Page[T], error)
	page *Page[T]
	at   int
	err  error
}

// iterate walks through a list from the page that is chosen, or the first.
func iterate[O, T any, P interface {
	*O
	pageNumber() *int
}](which P, list func(P, ...Option) (*Page[T], error), options []Option) *Iterator[T] {
	turning := P(new(O))
	if which != nil {
		*turning = *which
	}
	number := turning.pageNumber()
	if *number > 0 {
		*number--
	}
	return &Iterator[T]{turn: func() (*Page[T], error) {
		*number++
		return list(turning, options...)
	}}
}

// Next goes to the next row; false at the end and after an error.
func (i *Iterator[T]) Next() bool {
	if i.page != nil && i.at+1 < len(i.page.Rows) {
		i.at++
		return true
	}
	if i.err != nil || (i.page != nil && (len(i.page.Rows) == 0 || i.page.Page*i.page.Limit >= i.page.Total)) {
		return false
	}
	i.page, i.err = i.turn()
	i.at = 0
	return i.err == nil && len(i.page.Rows) > 0
}

// Row returns the row that Next went to.
func (i *Iterator[T]) Row() T { return i.page.Rows[i.at] }

// Err returns the error that ended the walk, if one did.
func (i *Iterator[T]) Err() error { return i.err }
