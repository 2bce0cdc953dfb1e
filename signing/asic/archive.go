package asic

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/tsp"
	"github.com/eidbridge/eidbridge/signing/validation"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
)

func unreached(err error) bool { return errors.Is(err, signing.ErrUnreached) }

// archive adds an archive manifest about everything in the container and a
// time-stamp over it (EN 319 162-1 A.7). One that is there gets the next number,
// and its time-stamp the validation data that it will need.
func (s *staged) archive(ctx context.Context, services *signing.Services) error {
	previous := ""
	if s.has(nameArchiveManifest) {
		if err := s.completeToken(ctx, services); err != nil {
			return err
		}
		previous = s.free("ASiCArchiveManifest%03d.xml", 1)
		if err := s.rename(nameArchiveManifest, previous); err != nil {
			return err
		}
	}
	token := s.free("timestamp%03d.tst", 1)
	var all []reference
	for _, f := range s.files {
		found, err := f.digest(ctx, stampDigest)
		if err != nil {
			return err
		}
		all = append(all, reference{uri: xmldsig.NameURI(f.Name), mediaType: f.MediaType, hash: stampDigest, digest: found[stampDigest]})
	}
	for _, m := range s.meta {
		content, err := s.read(m.name)
		if err != nil {
			return err
		}
		mediaType := "text/xml"
		switch roleOf(m.name) {
		case roleCAdES:
			mediaType = mediaTypeCAdES
		case roleToken:
			mediaType = mediaTypeToken
		case roleManifest, roleArchive, roleXAdES:
		default:
			continue
		}
		all = append(all, reference{
			uri: xmldsig.NameURI(m.name), mediaType: mediaType, root: m.name == previous, hash: stampDigest, digest: digestOf(stampDigest, content),
		})
	}
	manifest := writeASiCManifest(token, mediaTypeToken, all)
	stamp, err := services.TimeStamps.Stamp(ctx, stampDigest, digestOf(stampDigest, manifest))
	if err != nil {
		return fmt.Errorf("%w: %w", signing.ErrUnreached, err)
	}
	s.put(nameArchiveManifest, manifest)
	s.put(token, stamp.Raw)
	return nil
}

// completeToken puts validation data about the newest archive time-stamp into it.
func (s *staged) completeToken(ctx context.Context, services *signing.Services) error {
	raw, err := s.read(nameArchiveManifest)
	if err != nil {
		return err
	}
	manifest, err := parseASiCManifest(nameArchiveManifest, raw)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(s.meta, func(m metaFile) bool {
		return m.name == manifest.signature || xmldsig.NameURI(m.name) == manifest.signature
	})
	if at < 0 {
		return fmt.Errorf("%w: the time-stamp of %s is not there", ErrFormat, nameArchiveManifest)
	}
	name := s.meta[at].name
	if raw, err = s.read(name); err != nil {
		return err
	}
	completed, err := completeToken(ctx, raw, services)
	if err != nil {
		return err
	}
	s.put(name, completed)
	return nil
}

// completeToken returns a token with validation data about itself, which its
// signature leaves room for.
func completeToken(ctx context.Context, raw []byte, services *signing.Services) ([]byte, error) {
	token, err := tsp.Parse(raw)
	if err != nil {
		return nil, err
	}
	found, err := validation.Collect(ctx, services, []validation.Chain{{Certificate: token.Certificate, Candidates: token.Certificates}})
	if err != nil {
		return nil, err
	}
	message, err := cms.Parse(raw)
	if err != nil {
		return nil, err
	}
	if err := message.AddCertificates(found.Certificates...); err != nil {
		return nil, err
	}
	if err := message.AddRevocation(found.CRLs, found.OCSPs); err != nil {
		return nil, err
	}
	return message.Append(nil)
}
