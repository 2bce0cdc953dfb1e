// Package prompt asks the person: it shows who wants what, and takes the PIN. It
// is the only package of the agent that meets a PIN on its way in; the bytes go
// from the place of entry into a *pin.PIN and are overwritten behind it.
//
// Three ways of asking implement desktop.Prompter:
//
//   - Pinentry runs one of the pinentry programs of the GnuPG project and speaks
//     Assuan with it (libassuan manual; pinentry manual, "Protocol"). No external
//     cache is allowed and no key information is sent, so no desktop offers to
//     keep the PIN.
//   - Terminal asks on the controlling terminal without echo.
//   - File takes the PIN from a file descriptor that another program fills; it
//     cannot ask for a yes, so it refuses the last try and every pairing.
//
// The texts are in four catalogues (es, et, nl, en). Strings that come from a
// page, a document or a certificate are quoted, cut to a length and shown with
// their control, format and direction characters escaped (Quote), so that they
// cannot pretend to be the agent's own words.
//
// A button of pinentry cannot be held back for the first moments, so a yes that
// comes sooner than a person can read is not believed: the question is put once
// more. Windows of our own, and keypads, are left to later versions.
package prompt
