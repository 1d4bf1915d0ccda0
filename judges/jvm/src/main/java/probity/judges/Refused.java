package probity.judges;

/** A judge's verdict against a case, in its own words. */
final class Refused extends Exception {
    Refused(String reason) {
        super(reason);
    }
}
