//! What several sources say together.

/// A closed interval of microseconds that is said to hold the true value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    pub lower_us: i64,
    pub upper_us: i64,
}

impl Interval {
    pub const fn around(middle_us: i64, error_us: i64) -> Self {
        Self {
            lower_us: middle_us.saturating_sub(error_us),
            upper_us: middle_us.saturating_add(error_us),
        }
    }

    pub const fn overlaps(&self, other: &Self) -> bool {
        self.lower_us <= other.upper_us && other.lower_us <= self.upper_us
    }

    /// Largest distance from zero.
    pub const fn bound_us(&self) -> i64 {
        let (lower, upper) = (
            self.lower_us.saturating_abs(),
            self.upper_us.saturating_abs(),
        );
        if lower > upper { lower } else { upper }
    }
}

/// The smallest interval that holds every point lying in at least `quorum` of the intervals (Marzullo; RFC 5905 11.2.1
/// with the number of falsetickers fixed). The true value is inside as long as `quorum` of the sources are right,
/// however wrong the others. `None` when no point lies in that many.
pub fn agree(intervals: &[Interval], quorum: usize) -> Option<Interval> {
    let covered = |point: i64| {
        let holds = |i: &&Interval| i.lower_us <= point && point <= i.upper_us;
        intervals.iter().filter(holds).count() >= quorum
    };
    // The ends of such an interval are ends of given ones.
    let lower = intervals.iter().map(|i| i.lower_us).filter(|p| covered(*p));
    let upper = intervals.iter().map(|i| i.upper_us).filter(|p| covered(*p));
    Some(Interval {
        lower_us: lower.min()?,
        upper_us: upper.max()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ends: &[(i64, i64)]) -> Vec<Interval> {
        let interval = |&(lower_us, upper_us): &(i64, i64)| Interval { lower_us, upper_us };
        ends.iter().map(interval).collect()
    }

    #[test]
    fn as_many_as_the_quorum_decide() {
        for (ends, quorum, expected) in [
            // Marzullo's examples: 8..12, 11..13, 10..12 → 11..12; 8..12, 11..13, 14..15 → 11..12.
            (&[(8, 12), (11, 13), (10, 12)][..], 3, Some((11, 12))),
            (&[(8, 12), (11, 13), (14, 15)], 2, Some((11, 12))),
            (&[(8, 12), (11, 13), (14, 15)], 3, None),
            // More agree than must: the third may be the one that is wrong, so it does not narrow.
            (&[(8, 12), (11, 13), (10, 12)], 2, Some((10, 12))),
            // Two pairs agree, each on its own: the truth may be with either.
            (&[(0, 2), (1, 3), (10, 12), (11, 13)], 2, Some((1, 12))),
            (&[(-5, 5)], 1, Some((-5, 5))),
            (&[(1, 2), (2, 3)], 2, Some((2, 2))),
            (&[], 1, None),
        ] {
            let agreed = agree(&of(ends), quorum);
            let agreed = agreed.map(|i| (i.lower_us, i.upper_us));
            assert_eq!(agreed, expected, "{ends:?} {quorum}");
        }
    }

    #[test]
    fn bounds_and_overlaps() {
        assert_eq!(Interval::around(-7, 3).bound_us(), 10);
        assert_eq!(Interval::around(7, 3).bound_us(), 10);
        assert!(Interval::around(0, 1).overlaps(&Interval::around(2, 1)));
        assert!(!Interval::around(0, 1).overlaps(&Interval::around(3, 1)));
    }
}
