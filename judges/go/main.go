// Go's judges: crypto/x509 (paths, lists, requests), x/mod/sumdb (signed notes, Merkle proofs).
//
//	judges ARTIFACTS
//
// Prints one line for each case, tab-separated: judge, kind, group/name, expected, verdict, reason.
package main

import (
	"archive/zip"
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// one is a folder GROUP/accept|refuse/KIND/NAME with what is trusted in its group.
type one struct {
	folder, trust               string
	group, expected, kind, name string
}

type judge struct {
	name  string
	judge func(one) (string, error)
}

var judges = map[string]judge{
	"certificate": {"Go crypto/x509", path},
	"crl":         {"Go crypto/x509", list},
	"csr":         {"Go crypto/x509", request},
	"checkpoint":  {"Go x/mod/sumdb", checkpoint},
	"inclusion":   {"Go x/mod/sumdb", inclusion},
}

func main() {
	accepted, _ := filepath.Glob(filepath.Join(os.Args[1], "*", "accept", "*", "*"))
	refused, _ := filepath.Glob(filepath.Join(os.Args[1], "*", "refuse", "*", "*"))
	for _, folder := range append(accepted, refused...) {
		relative, _ := filepath.Rel(os.Args[1], folder)
		p := strings.Split(relative, string(filepath.Separator))
		c := one{folder, filepath.Join(os.Args[1], p[0], "trust"), p[0], p[1], p[2], p[3]}
		j, known := judges[c.kind]
		if !known {
			continue
		}
		verdict := "accept"
		reason, err := j.judge(c)
		if err != nil {
			verdict, reason = "refuse", err.Error()
		}
		reason = strings.Join(strings.Fields(reason), " ")
		fmt.Println(strings.Join([]string{j.name, c.kind, c.group + "/" + c.name, c.expected, verdict, reason}, "\t"))
	}
}

func certificate(file string) (*x509.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

func revocationList(file string, issuer *x509.Certificate) (*x509.RevocationList, error) {
	der, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, err
	}
	return list, list.CheckSignatureFrom(issuer)
}

// path verifies the chain now, and that no certificate of it is on its issuer's list.
func path(c one) (string, error) {
	leaf, err := certificate(filepath.Join(c.folder, "certificate.pem"))
	if err != nil {
		return "", err
	}
	root, err := certificate(filepath.Join(c.trust, "root.pem"))
	if err != nil {
		return "", err
	}
	issuing, err := certificate(filepath.Join(c.trust, "issuing.pem"))
	if err != nil {
		return "", err
	}
	options := x509.VerifyOptions{
		Roots:         x509.NewCertPool(),
		Intermediates: x509.NewCertPool(),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	options.Roots.AddCert(root)
	options.Intermediates.AddCert(issuing)
	chains, err := leaf.Verify(options)
	if err != nil {
		return "", err
	}
	chain := chains[0]
	for i, issuer := range chain[1:] {
		name := "issuing.crl"
		if issuer.Equal(root) {
			name = "root.crl"
		}
		list, err := revocationList(filepath.Join(c.trust, name), issuer)
		if err != nil {
			return "", err
		}
		for _, entry := range list.RevokedCertificateEntries {
			if entry.SerialNumber.Cmp(chain[i].SerialNumber) == 0 {
				return "", fmt.Errorf("revoked, reason %d", entry.ReasonCode)
			}
		}
	}
	return fmt.Sprintf("%d certificates to the root, none revoked", len(chain)), nil
}

func list(c one) (string, error) {
	issuer, err := certificate(filepath.Join(c.folder, "issuer.pem"))
	if err != nil {
		return "", err
	}
	list, err := revocationList(filepath.Join(c.folder, "list.crl"), issuer)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("list %d, %d entries", list.Number, len(list.RevokedCertificateEntries)), nil
}

func request(c one) (string, error) {
	der, err := os.ReadFile(filepath.Join(c.folder, "request.p10"))
	if err != nil {
		return "", err
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return "", err
	}
	return request.Subject.String(), request.CheckSignature()
}

// opened verifies a signed note by the group's log key and reads size and root hash.
func opened(text []byte, keyFile string) (size int64, root tlog.Hash, err error) {
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return 0, root, err
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(key)))
	if err != nil {
		return 0, root, err
	}
	signed, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		return 0, root, err
	}
	lines := strings.Split(signed.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return 0, root, errors.New("not a checkpoint of this log")
	}
	if size, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return 0, root, err
	}
	hash, err := tlog.ParseHash(lines[2])
	return size, hash, err
}

func checkpoint(c one) (string, error) {
	text, err := os.ReadFile(filepath.Join(c.folder, "checkpoint.txt"))
	if err != nil {
		return "", err
	}
	size, root, err := opened(text, filepath.Join(c.folder, "log.vkey"))
	return fmt.Sprintf("size %d, root %s", size, root), err
}

func members(file string) (map[string][]byte, error) {
	container, err := zip.OpenReader(file)
	if err != nil {
		return nil, err
	}
	defer container.Close()
	read := map[string][]byte{}
	for _, member := range container.File {
		from, err := member.Open()
		if err != nil {
			return nil, err
		}
		if read[member.Name], err = io.ReadAll(from); err != nil {
			return nil, err
		}
		from.Close()
	}
	return read, nil
}

// inclusion puts the log entry together from the package's members, as docs/judges.md says, and checks
// its inclusion in the tree of the checkpoint.
func inclusion(c one) (string, error) {
	member, err := members(filepath.Join(c.folder, "package.asice"))
	if err != nil {
		return "", err
	}
	size, root, err := opened(member["log/checkpoint.txt"], filepath.Join(c.trust, "log.vkey"))
	if err != nil {
		return "", err
	}
	var proof struct {
		Leaf   int64    `json:"leaf_index"`
		Size   int64    `json:"tree_size"`
		Hashes []string `json:"hashes"`
	}
	if err := json.Unmarshal(member["log/inclusion.json"], &proof); err != nil {
		return "", err
	}
	if proof.Size != size {
		return "", errors.New("proof and checkpoint are of different sizes")
	}
	var path tlog.RecordProof
	for _, text := range proof.Hashes {
		hash, err := tlog.ParseHash(text)
		if err != nil {
			return "", err
		}
		path = append(path, hash)
	}
	entry, err := entry(member)
	if err != nil {
		return "", err
	}
	if err := tlog.CheckRecord(path, size, root, proof.Leaf, tlog.RecordHash(entry)); err != nil {
		return "", err
	}
	return fmt.Sprintf("entry %d of %d", proof.Leaf, size), nil
}

func entry(member map[string][]byte) ([]byte, error) {
	var statement struct {
		Number string `json:"evidence_number"`
	}
	if err := json.Unmarshal(member["statement.json"], &statement); err != nil {
		return nil, err
	}
	out := bytes.NewBufferString("probity.record/1\n")
	for _, field := range [][]byte{
		[]byte(statement.Number),
		member["statement.json"],
		member["META-INF/ASiCManifest001.xml"],
		member["META-INF/signature001.p7s"],
	} {
		if err := binary.Write(out, binary.BigEndian, uint32(len(field))); err != nil {
			return nil, err
		}
		out.Write(field)
	}
	return out.Bytes(), nil
}
