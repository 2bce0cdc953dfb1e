package digid

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/levels"
)

// scheme is the name of DigiD 3.x in the mapping.
const scheme = "digid"

//go:embed methods.json
var methodNames []byte

// method is one DigiD level as a way to log in. Its ID is the rule of the mapping
// with a hyphen: "digid.midden" is "digid-midden".
type method struct {
	brokers.Method
	class string
}

// methodsOf lists the mapping's classes up to the ceiling, weakest first.
// Classes of one level would be one method; DigiD has none.
func methodsOf(m *levels.Mapping, ceiling levels.Level) ([]method, error) {
	var names map[string]map[string]string
	if err := json.Unmarshal(methodNames, &names); err != nil {
		return nil, fmt.Errorf("names of methods: %w", err)
	}
	var offered []method
	for _, row := range m.Rows(scheme) {
		if ceiling != levels.None && row.Level > ceiling {
			continue
		}
		id := strings.ReplaceAll(row.Rule, ".", "-")
		name := names[id]
		if name == nil {
			name = map[string]string{"en": "DigiD"}
		}
		offered = append(offered, method{
			Method: brokers.Method{ID: id, Level: row.Level, Name: name},
			class:  row.Value,
		})
	}
	if len(offered) == 0 {
		return nil, fmt.Errorf("no DigiD class is within level %s", ceiling)
	}
	slices.SortStableFunc(offered, func(a, b method) int { return int(a.Level - b.Level) })
	return offered, nil
}
