package probity.judges;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.security.KeyFactory;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.Provider;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import org.bouncycastle.asn1.ASN1InputStream;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.cms.ContentInfo;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateHolder;
import org.bouncycastle.cms.CMSAuthEnvelopedData;
import org.bouncycastle.cms.CMSProcessableByteArray;
import org.bouncycastle.cms.CMSSignedData;
import org.bouncycastle.cms.RecipientInformation;
import org.bouncycastle.cms.SignerInformation;
import org.bouncycastle.cms.SignerInformationVerifier;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoVerifierBuilder;
import org.bouncycastle.cms.jcajce.JceKeyAgreeEnvelopedRecipient;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.ContentVerifierProvider;
import org.bouncycastle.operator.jcajce.JcaContentVerifierProviderBuilder;
import org.bouncycastle.tsp.TimeStampRequest;
import org.bouncycastle.tsp.TimeStampResponse;
import org.bouncycastle.tsp.TimeStampToken;
import org.bouncycastle.util.Selector;
import org.bouncycastle.util.Store;

/** Bouncy Castle: RFC 3161 and CMS. Paths are walked by signature and validity; lists are others' part. */
final class BouncyCastle {

    private static final Provider BC = new BouncyCastleProvider();

    private BouncyCastle() {}

    static String token(Case one) throws Exception {
        TimeStampToken token = new TimeStampToken(new CMSSignedData(one.bytes("token.der")));
        return token(one, token);
    }

    private static String token(Case one, TimeStampToken token) throws Exception {
        ASN1ObjectIdentifier algorithm = token.getTimeStampInfo().getMessageImprintAlgOID();
        byte[] digest = MessageDigest.getInstance(algorithm.getId(), BC).digest(one.bytes("data"));
        if (!Arrays.equals(digest, token.getTimeStampInfo().getMessageImprintDigest())) {
            throw new Refused("the imprint is of other data");
        }
        X509CertificateHolder unit = only(token.getCertificates(), token.getSID());
        // Checks the signature, the ESS binding and the sole critical extended key usage.
        token.validate(verifier(unit));
        chained(one, unit);
        return "genTime " + token.getTimeStampInfo().getGenTime().toInstant();
    }

    static String exchange(Case one) throws Exception {
        TimeStampRequest request = new TimeStampRequest(one.bytes("request.tsq"));
        request.validate(Set.of(request.getMessageImprintAlgOID()), null, null);
        TimeStampResponse response = new TimeStampResponse(one.bytes("response.tsr"));
        response.validate(request);
        return token(one, response.getTimeStampToken());
    }

    static String signature(Case one) throws Exception {
        CMSProcessableByteArray content = new CMSProcessableByteArray(one.bytes("content"));
        CMSSignedData signed = new CMSSignedData(content, one.bytes("signature.p7s"));
        Collection<SignerInformation> signers = signed.getSignerInfos().getSigners();
        if (signers.size() != 1) {
            throw new Refused(signers.size() + " signers");
        }
        SignerInformation signer = signers.iterator().next();
        X509CertificateHolder certificate = only(signed.getCertificates(), signer.getSID());
        if (!signer.verify(verifier(certificate))) {
            throw new Refused("the signature does not verify");
        }
        chained(one, certificate);
        for (var list : signed.getCRLs().getMatches(null)) {
            if (list.getRevokedCertificate(certificate.getSerialNumber()) != null) {
                throw new Refused("a list in the signature revokes the signer");
            }
        }
        return certificate.getSubject().toString();
    }

    /** A package is one envelope or several, one after another; each for itself, and what comes out joined. */
    static String envelope(Case one) throws Exception {
        PrivateKey key = KeyFactory.getInstance("EC", BC)
                .generatePrivate(new PKCS8EncodedKeySpec(one.bytes("recipient.key.der")));
        ByteArrayOutputStream opened = new ByteArrayOutputStream();
        int parts = 0;
        try (ASN1InputStream envelopes = new ASN1InputStream(one.bytes("envelope.p7m"))) {
            for (Object part = envelopes.readObject(); part != null; part = envelopes.readObject()) {
                var envelope = new CMSAuthEnvelopedData(ContentInfo.getInstance(part));
                Collection<RecipientInformation> recipients = envelope.getRecipientInfos().getRecipients();
                if (recipients.size() != 1) {
                    throw new Refused(recipients.size() + " recipients");
                }
                opened.writeBytes(recipients.iterator().next()
                        .getContent(new JceKeyAgreeEnvelopedRecipient(key).setProvider(BC)));
                parts++;
            }
        }
        if (!Arrays.equals(opened.toByteArray(), one.bytes("content"))) {
            throw new Refused("opened to something else");
        }
        return opened.size() + " bytes opened, parts: " + parts;
    }

    private static SignerInformationVerifier verifier(X509CertificateHolder certificate) throws Exception {
        return new JcaSimpleSignerInfoVerifierBuilder().setProvider(BC).build(certificate);
    }

    private static X509CertificateHolder only(Store<X509CertificateHolder> store, Selector<X509CertificateHolder> which)
            throws Refused {
        Collection<X509CertificateHolder> found = store.getMatches(which);
        if (found.size() != 1) {
            throw new Refused(found.size() + " certificates of the signer");
        }
        return found.iterator().next();
    }

    /** The certificate leads to the root, itself or over the issuing CA, all of them valid now. */
    private static void chained(Case one, X509CertificateHolder leaf) throws Exception {
        X509CertificateHolder root = new JcaX509CertificateHolder(one.root());
        List<X509CertificateHolder> issuers = new ArrayList<>();
        if (Files.exists(one.trust().resolve("issuing.pem"))) {
            issuers.add(new JcaX509CertificateHolder(Case.certificate(one.trust().resolve("issuing.pem"))));
        }
        issuers.add(root);
        X509CertificateHolder at = leaf;
        for (X509CertificateHolder issuer : issuers) {
            if (at.getIssuer().equals(issuer.getSubject())) {
                issued(at, issuer, one);
                at = issuer;
            }
        }
        if (!at.equals(root)) {
            throw new Refused("no path to the root");
        }
    }

    private static void issued(X509CertificateHolder certificate, X509CertificateHolder issuer, Case one)
            throws Exception, IOException {
        ContentVerifierProvider key = new JcaContentVerifierProviderBuilder().setProvider(BC).build(issuer);
        if (!certificate.isSignatureValid(key) || !certificate.isValidOn(one.time())) {
            throw new Refused(certificate.getSubject() + " is not valid");
        }
    }
}
