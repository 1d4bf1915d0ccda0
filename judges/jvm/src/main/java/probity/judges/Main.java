package probity.judges;

import java.nio.file.Path;
import java.util.Map;

/**
 * Judges every case it knows how to judge: {@code Main ARTIFACTS REPORTS}. Prints one line for each,
 * tab-separated: judge, kind, group/name, expected, verdict, reason.
 */
public final class Main {

    /** Returns what the judge says in favour; throws what it says against. */
    interface Judge {
        String judge(Case one) throws Exception;
    }

    private Main() {}

    public static void main(String[] args) throws Exception {
        Dss dss = new Dss(Path.of(args[1]));
        Map<String, Map<String, Judge>> judges = Map.of(
                "receipt", Map.of("Bouncy Castle", BouncyCastle::signature),
                "ceremony", Map.of("Bouncy Castle", BouncyCastle::signature),
                "package", Map.of("EU DSS", dss::container),
                "zip", Map.of("java.util.zip", Jdk::zip),
                "certificate", Map.of("JDK PKIX", Jdk::path),
                "token", Map.of("Bouncy Castle", BouncyCastle::token),
                "exchange", Map.of("Bouncy Castle", BouncyCastle::exchange),
                "signature", Map.of("Bouncy Castle", BouncyCastle::signature, "EU DSS", dss::signature),
                "envelope", Map.of("Bouncy Castle", BouncyCastle::envelope));
        for (Case one : Case.all(Path.of(args[0]))) {
            judges.getOrDefault(one.kind(), Map.of()).forEach((name, judge) -> print(name, one, judge));
        }
    }

    private static void print(String name, Case one, Judge judge) {
        String verdict;
        String reason;
        try {
            reason = judge.judge(one);
            verdict = "accept";
        } catch (Exception e) {
            reason = e.getClass().getSimpleName() + ": " + e.getMessage();
            verdict = "refuse";
        }
        String line = String.join("\t", name, one.kind(), one.group() + "/" + one.name(), one.expected(), verdict,
                reason.replaceAll("\\s+", " "));
        System.out.println(line);
    }
}
