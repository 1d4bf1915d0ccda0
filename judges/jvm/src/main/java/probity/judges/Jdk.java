package probity.judges;

import java.io.InputStream;
import java.io.OutputStream;
import java.security.cert.CertPathValidator;
import java.security.cert.CertStore;
import java.security.cert.CertificateFactory;
import java.security.cert.CollectionCertStoreParameters;
import java.security.cert.PKIXParameters;
import java.security.cert.PKIXRevocationChecker;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.zip.CRC32;
import java.util.zip.CheckedInputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;

/** What the Java platform itself brings. */
final class Jdk {

    private Jdk() {}

    /** Every member is there and unpacks to its size and checksum. */
    static String zip(Case one) throws Exception {
        try (ZipFile zip = new ZipFile(one.file("container.zip").toFile())) {
            long bytes = 0;
            for (ZipEntry entry : Collections.list(zip.entries())) {
                CRC32 checksum = new CRC32();
                try (InputStream in = new CheckedInputStream(zip.getInputStream(entry), checksum)) {
                    long read = in.transferTo(OutputStream.nullOutputStream());
                    if (read != entry.getSize() || checksum.getValue() != entry.getCrc()) {
                        throw new Refused(entry.getName() + " is not what the directory says");
                    }
                    bytes += read;
                }
            }
            return zip.size() + " members, " + bytes + " bytes";
        }
    }

    /** RFC 5280 path validation with revocation lists, nothing fetched. */
    static String path(Case one) throws Exception {
        X509Certificate leaf = Case.certificate(one.file("certificate.pem"));
        X509Certificate issuing = Case.certificate(one.trust().resolve("issuing.pem"));
        List<X509Certificate> chain = new ArrayList<>(List.of(leaf));
        if (leaf.getIssuerX500Principal().equals(issuing.getSubjectX500Principal())) {
            chain.add(issuing);
        }
        PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor(one.root(), null)));
        parameters.setDate(one.time());
        parameters.addCertStore(CertStore.getInstance("Collection", new CollectionCertStoreParameters(one.lists())));
        CertPathValidator validator = CertPathValidator.getInstance("PKIX");
        PKIXRevocationChecker revocation = (PKIXRevocationChecker) validator.getRevocationChecker();
        revocation.setOptions(EnumSet.of(
                PKIXRevocationChecker.Option.PREFER_CRLS, PKIXRevocationChecker.Option.NO_FALLBACK));
        parameters.addCertPathChecker(revocation);
        validator.validate(CertificateFactory.getInstance("X.509").generateCertPath(chain), parameters);
        return chain.size() + " certificates to the root, none revoked";
    }
}
