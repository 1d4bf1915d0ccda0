package probity.judges;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertificateFactory;
import java.security.cert.X509CRL;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import java.util.stream.Stream;

/** One folder {@code GROUP/accept|refuse/KIND/NAME} of the artifacts, with what is trusted in its group. */
record Case(Path folder, Path trust, String group, String expected, String kind, String name) {

    static List<Case> all(Path artifacts) throws IOException {
        try (Stream<Path> paths = Files.walk(artifacts, 4)) {
            return paths.filter(p -> artifacts.relativize(p).getNameCount() == 4 && Files.isDirectory(p))
                    .sorted()
                    .map(p -> {
                        Path parts = artifacts.relativize(p);
                        String group = parts.getName(0).toString();
                        return new Case(p, artifacts.resolve(group).resolve("trust"), group,
                                parts.getName(1).toString(), parts.getName(2).toString(), parts.getName(3).toString());
                    })
                    .filter(one -> one.expected().equals("accept") || one.expected().equals("refuse"))
                    .toList();
        }
    }

    Path file(String file) {
        return folder.resolve(file);
    }

    byte[] bytes(String file) throws IOException {
        return Files.readAllBytes(file(file));
    }

    X509Certificate root() throws Exception {
        return certificate(trust.resolve("root.pem"));
    }

    /** When the case is judged: the group's own time where its clock stands still. */
    Date time() throws IOException {
        Path time = trust.resolve("time");
        return Files.exists(time) ? Date.from(Instant.parse(Files.readString(time).strip())) : new Date();
    }

    List<X509CRL> lists() throws Exception {
        List<X509CRL> lists = new ArrayList<>();
        for (String name : List.of("root.crl", "issuing.crl")) {
            byte[] der = Files.readAllBytes(trust.resolve(name));
            lists.add((X509CRL) CertificateFactory.getInstance("X.509").generateCRL(new ByteArrayInputStream(der)));
        }
        return lists;
    }

    static X509Certificate certificate(Path pem) throws Exception {
        byte[] bytes = Files.readAllBytes(pem);
        return (X509Certificate) CertificateFactory.getInstance("X.509")
                .generateCertificate(new ByteArrayInputStream(bytes));
    }
}
