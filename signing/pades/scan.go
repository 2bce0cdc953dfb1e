package pades

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/eidbridge/eidbridge/signing/pdf"
)

// Risk is a kind of content that can make a document look or act differently
// from what its signer saw (threats P-53; ISO 32000-2 12.8.7 asks a certifier to
// attest much the same).
type Risk string

// The kinds. Those up to RiskHiddenLayer are active: they act by themselves, or
// change what is shown without anybody's doing.
const (
	RiskScript       Risk = "script"
	RiskLaunch       Risk = "launch"          // starts a program
	RiskRemote       Risk = "remote_document" // opens another document
	RiskSubmit       Risk = "submit_form"     // sends the form somewhere
	RiskImport       Risk = "import_data"     // fills the form from a file
	RiskXFA          Risk = "xfa"             // a second form that not all programs show
	Risk3D           Risk = "3d"
	RiskMedia        Risk = "media"           // sound, video and other players
	RiskExternal     Risk = "external_stream" // content that lies in other files
	RiskHiddenLayer  Risk = "hidden_layer"    // layers that are not always shown
	RiskCalculation  Risk = "calculated_field"
	RiskFields       Risk = "changeable_field" // fields that can be filled in later
	RiskEmbedded     Risk = "embedded_file"
	RiskHidden       Risk = "hidden_annotation"
	RiskOutside      Risk = "outside_page"   // content beyond the visible area
	RiskAppearances  Risk = "own_appearance" // the form leaves its look to the program
	RiskAlternate    Risk = "alternate_image"
	RiskLink         Risk = "web_link"
	RiskUnlisted     Risk = "unlisted_object"  // objects that no table of the file names
	RiskDuplicate    Risk = "duplicate_object" // objects of which the file has a second version
	RiskUnreferenced Risk = "unused_object"    // pages, fonts and the like that nothing uses
)

// Risks returns all kinds, the gravest first.
func Risks() []Risk {
	return []Risk{
		RiskScript, RiskLaunch, RiskRemote, RiskSubmit, RiskImport, RiskXFA, Risk3D, RiskMedia, RiskExternal, RiskHiddenLayer,
		RiskCalculation, RiskFields, RiskEmbedded, RiskHidden, RiskOutside, RiskAppearances, RiskAlternate, RiskLink, RiskDuplicate, RiskUnlisted, RiskUnreferenced,
	}
}

// Active tells whether a risk acts by itself, so that a document of strangers is
// better not signed.
func (r Risk) Active() bool {
	i := slices.Index(Risks(), r)
	return i >= 0 && i <= slices.Index(Risks(), RiskHiddenLayer)
}

// Scan is what a look through a document found before anybody signs it.
type Scan struct {
	Pages int `json:"pages"`
	// Findings are sorted by Risks, one for each kind.
	Findings []ScanFinding `json:"findings"`
	// Complete is false when the document was too large to look at all of it.
	Complete bool `json:"complete"`
}

// ScanFinding says how often something was found and where.
type ScanFinding struct {
	Kind   Risk `json:"kind"`
	Count  int  `json:"count"`
	Active bool `json:"active"`
	// Pages are the numbers of some pages concerned, Objects those of some objects,
	// Names some names of files, layers or fields.
	Pages   []int    `json:"pages,omitempty"`
	Objects []int    `json:"objects,omitempty"`
	Names   []string `json:"names,omitempty"`
	Text    string   `json:"text"`
}

// Active returns the findings that are active.
func (s *Scan) Active() []ScanFinding {
	return slices.DeleteFunc(slices.Clone(s.Findings), func(f ScanFinding) bool { return !f.Active })
}

// Ambiguous tells whether programs may read different documents from the file.
// Signatures under it are judged as failed (P-14).
func (s *Scan) Ambiguous() bool {
	return slices.ContainsFunc(s.Findings, func(f ScanFinding) bool { return f.Kind == RiskDuplicate })
}

// The bounds of a scan.
const (
	maxScanned      = 200_000  // objects
	maxScannedPages = 2_000    // pages whose content is looked at
	maxScannedBytes = 48 << 20 // bytes of content
	maxExamples     = 5        // places, of each kind
	maxNameShown    = 80       // characters
)

// ScanDocument looks through a document for what can change what is shown, act
// by itself, or hide something. It changes nothing and decides nothing. Errors
// are those of Sign about a document that cannot be read.
func ScanDocument(ctx context.Context, src io.ReaderAt, size int64, password []byte) (*Scan, error) {
	doc, err := openForSigning(ctx, src, size, password)
	if err != nil {
		return nil, err
	}
	if doc.Locked() {
		return nil, fmt.Errorf("looking through the document: %w", pdf.ErrEncrypted)
	}
	s := &scanner{
		doc: doc, ctx: ctx, complete: true,
		found: make(map[Risk]*ScanFinding), seen: make(map[pdf.Ref]bool),
	}
	for _, step := range []func() error{s.objects, s.form, s.layers, s.pages, s.unlisted} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return s.result(), nil
}

// scanner is a scan under way.
type scanner struct {
	doc       *pdf.Document
	ctx       context.Context
	found     map[Risk]*ScanFinding
	seen      map[pdf.Ref]bool // reachable objects
	pageCount int
	content   int64 // bytes of content looked at
	complete  bool
}

func (s *scanner) result() *Scan {
	out := &Scan{Pages: s.pageCount, Findings: []ScanFinding{}, Complete: s.complete}
	for _, f := range s.found {
		f.Text = f.Kind.text(f.Count)
		out.Findings = append(out.Findings, *f)
	}
	order := Risks()
	slices.SortFunc(out.Findings, func(a, b ScanFinding) int {
		return cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind))
	})
	return out
}

// find counts a finding and keeps some places.
func (s *scanner) find(r Risk) *ScanFinding {
	f := s.found[r]
	if f == nil {
		f = &ScanFinding{Kind: r, Active: r.Active()}
		s.found[r] = f
	}
	f.Count++
	return f
}

func (f *ScanFinding) object(ref pdf.Ref) *ScanFinding {
	if n := int(ref.Number); n != 0 && len(f.Objects) < maxExamples && !slices.Contains(f.Objects, n) {
		f.Objects = append(f.Objects, n)
	}
	return f
}

func (f *ScanFinding) page(n int) *ScanFinding {
	if len(f.Pages) < maxExamples && !slices.Contains(f.Pages, n) {
		f.Pages = append(f.Pages, n)
	}
	return f
}

func (f *ScanFinding) name(text string) *ScanFinding {
	if runes := []rune(text); len(runes) > maxNameShown {
		text = string(runes[:maxNameShown]) + "…"
	}
	if text != "" && len(f.Names) < maxExamples && !slices.Contains(f.Names, text) {
		f.Names = append(f.Names, text)
	}
	return f
}

// text is one line for people, in English.
func (r Risk) text(n int) string {
	one, many := r.words()
	if n == 1 {
		return one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func (r Risk) words() (one, many string) {
	switch r {
	case RiskScript:
		return "a script", "scripts"
	case RiskLaunch:
		return "an action that starts a program", "actions that start programs"
	case RiskRemote:
		return "an action that opens another document", "actions that open other documents"
	case RiskSubmit:
		return "an action that sends the form somewhere", "actions that send the form somewhere"
	case RiskImport:
		return "an action that fills in the form from a file", "actions that fill in the form from files"
	case RiskXFA:
		return "an XFA form, which many programs do not show", "XFA forms, which many programs do not show"
	case Risk3D:
		return "a 3D model", "3D models"
	case RiskMedia:
		return "sound, video or another player", "sounds, videos or other players"
	case RiskExternal:
		return "content that lies in another file", "pieces of content that lie in other files"
	case RiskHiddenLayer:
		return "a layer that is not always shown", "layers that are not always shown"
	case RiskCalculation:
		return "a form field that changes by itself", "form fields that change by themselves"
	case RiskFields:
		return "a form field that can still be filled in", "form fields that can still be filled in"
	case RiskEmbedded:
		return "an embedded file", "embedded files"
	case RiskHidden:
		return "a hidden annotation or field", "hidden annotations or fields"
	case RiskOutside:
		return "content outside the visible area of a page", "pages with content outside the visible area"
	case RiskAppearances:
		return "a form whose look is made by the program that shows it", "forms whose look is made by the program that shows them"
	case RiskAlternate:
		return "an image with another version of itself", "images with other versions of themselves"
	case RiskLink:
		return "a link to the web", "links to the web"
	case RiskUnlisted:
		return "an object that the table of the file does not name", "objects that the table of the file does not name"
	case RiskDuplicate:
		return "an object of which the file has a second version", "objects of which the file has second versions"
	case RiskUnreferenced:
		return "an object that nothing uses", "objects that nothing uses"
	}
	return string(r), string(r)
}
