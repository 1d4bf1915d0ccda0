package probity.judges;

import eu.europa.esig.dss.enumerations.Indication;
import eu.europa.esig.dss.enumerations.SignatureLevel;
import eu.europa.esig.dss.model.DSSDocument;
import eu.europa.esig.dss.model.FileDocument;
import eu.europa.esig.dss.model.x509.CertificateToken;
import eu.europa.esig.dss.simplereport.SimpleReport;
import eu.europa.esig.dss.simplereport.jaxb.XmlTimestamp;
import eu.europa.esig.dss.spi.validation.CommonCertificateVerifier;
import eu.europa.esig.dss.spi.x509.CommonTrustedCertificateSource;
import eu.europa.esig.dss.validation.SignedDocumentValidator;
import eu.europa.esig.dss.validation.reports.Reports;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** The European Commission's Digital Signature Service, offline: one trust anchor and what a package brings. */
final class Dss {

    /** What the event signature of a package is. */
    private static final SignatureLevel LEVEL = SignatureLevel.CAdES_BASELINE_LT;
    /** A package has at least so many signatures: the event's and the delivery seal. */
    private static final int SIGNATURES_MIN = 2;

    private final Path reports;
    private final byte[] policy;

    Dss(Path reports) throws Exception {
        this.reports = Files.createDirectories(reports);
        this.policy = policy();
    }

    /** DSS' own policy, but what ASiC says of a container's names and media type is not for a warning alone. */
    private static byte[] policy() throws Exception {
        String text;
        try (InputStream own = Dss.class.getResourceAsStream("/policy/constraint.xml")) {
            text = new String(own.readAllBytes(), StandardCharsets.UTF_8);
        }
        for (String name : List.of("MimeTypeFilePresent", "AcceptableMimeTypeFileContent", "FilenameAdherence")) {
            String strict = text.replaceFirst("<" + name + " Level=\"[A-Z]+\"", "<" + name + " Level=\"FAIL\"");
            if (strict.equals(text)) {
                throw new IllegalStateException("the policy of this version of DSS has no " + name);
            }
            text = strict;
        }
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** Every signature of a package passes; the event's and the seal's are of the expected level, a submitter's need not be. */
    String container(Case one) throws Exception {
        SimpleReport report = validate(one, new FileDocument(one.file("package.asice").toFile()), List.of());
        List<String> said = new ArrayList<>();
        int ofLevel = 0;
        for (String id : report.getSignatureIdList()) {
            said.add(passed(report, id));
            ofLevel += report.getSignatureFormat(id) == LEVEL ? 1 : 0;
        }
        if (ofLevel < SIGNATURES_MIN) {
            throw new Refused("not " + SIGNATURES_MIN + " signatures of level " + LEVEL + ": " + said);
        }
        return String.join("; ", said);
    }

    /** A detached signature on its own. */
    String signature(Case one) throws Exception {
        DSSDocument content = new FileDocument(one.file("content").toFile());
        SimpleReport report = validate(one, new FileDocument(one.file("signature.p7s").toFile()), List.of(content));
        if (report.getSignaturesCount() != 1) {
            throw new Refused(report.getSignaturesCount() + " signatures");
        }
        return passed(report, report.getFirstSignatureId());
    }

    private static String passed(SimpleReport report, String id) throws Refused {
        Indication indication = report.getIndication(id);
        String said = report.getSignatureFormat(id) + " " + indication;
        if (indication != Indication.TOTAL_PASSED) {
            throw new Refused(said + " " + report.getSubIndication(id) + " "
                    + report.getAdESValidationErrors(id).stream().map(m -> m.getValue()).toList());
        }
        // While the signer's certificate is valid a signature passes whatever becomes of its time-stamps.
        for (XmlTimestamp stamp : report.getSignatureTimestamps(id)) {
            if (stamp.getIndication() != Indication.PASSED) {
                throw new Refused(said + ", its time-stamp " + stamp.getIndication());
            }
        }
        return said;
    }

    private SimpleReport validate(Case one, DSSDocument document, List<DSSDocument> detached) throws Exception {
        CommonTrustedCertificateSource trusted = new CommonTrustedCertificateSource();
        trusted.addCertificate(new CertificateToken(one.root()));
        // Without sources of its own it asks nobody: no AIA, CRL or OCSP is fetched.
        CommonCertificateVerifier verifier = new CommonCertificateVerifier(true);
        verifier.setTrustedCertSources(trusted);
        SignedDocumentValidator validator = SignedDocumentValidator.fromDocument(document);
        validator.setCertificateVerifier(verifier);
        validator.setValidationTime(one.time());
        if (!detached.isEmpty()) {
            validator.setDetachedContents(detached);
        }
        Reports result = validator.validateDocument(new ByteArrayInputStream(policy));
        String name = String.join("-", one.expected(), one.kind(), one.group(), one.name());
        Files.writeString(reports.resolve(name + ".simple.xml"), result.getXmlSimpleReport());
        Files.writeString(reports.resolve(name + ".detailed.xml"), result.getXmlDetailedReport());
        return result.getSimpleReport();
    }
}
