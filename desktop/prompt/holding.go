package prompt

import (
	"strings"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/desktop"
)

// maxPINName is how much of the name of a PIN is shown.
const maxPINName = 8

// atReaderText is the consent, and where the PIN is typed.
func (p phrases) atReaderText(c desktop.Consent, room int) string {
	where := p.say("at_reader", values{"PIN": Quote(c.PIN, maxPINName), "Reader": Quote(c.Reader, maxReaderText)})
	return p.consentText(c, room-len(escape("\n"+where))) + "\n" + where
}

// changeAtReaderText says which PIN gets a new value at the reader, and what is
// typed there.
func (p phrases) changeAtReaderText(q desktop.SecretQuestion, room int) string {
	return fitting(room, func(cut func(string, int) string) string {
		name := cut(q.Name, maxNameText)
		places := values{"Name": name, "Reader": name, "PIN": Quote(q.Status.ID, maxPINName), "Target": Quote(q.Target, maxPINName)}
		lines := append(p.recognised(), p.operation(q, places), p.say("change_at_reader", places))
		if q.Status.TriesLeft >= 0 {
			lines = append(lines, p.count("tries", q.Status.TriesLeft, values{"PIN": places["PIN"]}))
		}
		return strings.Join(lines, "\n")
	})
}

// operation is why a PIN gets a new value.
func (p phrases) operation(q desktop.SecretQuestion, places values) string {
	switch q.Operation {
	case cardreader.PINUnblock:
		return p.say("unblock_question", places)
	case cardreader.PINActivate:
		return p.say("activate_question", places)
	default:
		return p.say("change_question", places)
	}
}

// secretText says what an entry is for, and what it must look like.
func (p phrases) secretText(q desktop.SecretQuestion, room int) string {
	return fitting(room, func(cut func(string, int) string) string {
		name := cut(q.Name, maxNameText)
		places := values{"Name": name, "PIN": Quote(q.Status.ID, maxPINName), "Target": Quote(q.Target, maxPINName)}
		lines := p.recognised()
		add := func(id string) { lines = append(lines, p.say(id, places)) }
		switch q.Kind {
		case desktop.SecretPassword:
			add("password_question")
		case desktop.SecretDocument:
			add("document_password_question")
		case desktop.SecretAccessNumber:
			add("access_number_question")
		case desktop.SecretPersonalData:
			add("personal_data_pin")
		default:
			lines = append(lines, p.operation(q, places))
		}
		switch q.Kind {
		case desktop.SecretChecked:
			add("present_value")
		case desktop.SecretNew:
			places["Min"], places["Max"] = q.Status.MinLength, q.Status.MaxLength
			if q.Status.Class == pin.Digits {
				add("new_value_digits")
			} else {
				add("new_value_text")
			}
		case desktop.SecretRepeated:
			add("repeated_value")
		}
		asked := q.Kind == desktop.SecretChecked || q.Kind == desktop.SecretPersonalData
		if asked && q.Status.TriesLeft >= 0 {
			lines = append(lines, p.count("tries", q.Status.TriesLeft, values{"PIN": places["PIN"]}))
		}
		return strings.Join(lines, "\n")
	})
}

// secretLabel stands before the field.
func (p phrases) secretLabel(q desktop.SecretQuestion) string {
	name := Quote(q.Status.ID, maxPINName)
	switch q.Kind {
	case desktop.SecretPassword, desktop.SecretDocument:
		return p.say("password", nil)
	case desktop.SecretAccessNumber:
		return p.say("access_number", nil)
	case desktop.SecretNew, desktop.SecretRepeated:
		return p.say("new_label", values{"PIN": name})
	default:
		return name
	}
}

// confirmationText is a question for a yes, with the text of its button.
func (p phrases) confirmationText(q desktop.Confirmation, room int) (text, yes string) {
	question := "last_try_card"
	yes = "last_try_yes"
	switch {
	case q.Kind == desktop.ConfirmPersonalData:
		question, yes = "data_question", "data_yes"
	case q.Kind == desktop.ConfirmSave:
		question, yes = "save_question", "save_yes"
	case q.Final:
		question = "last_try_final"
	}
	text = fitting(room, func(cut func(string, int) string) string {
		return p.say(question, values{"Name": cut(q.Name, maxNameText), "PIN": Quote(q.PIN, maxPINName)})
	})
	return text, yes
}
