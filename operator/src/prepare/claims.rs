//! Which pipeline has a consumer group, where several name the same one on the same cluster.

use std::collections::BTreeMap;

/// One pipeline's claim to its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// `namespace/name`, to name it to the loser.
    pub pipeline: String,
    /// The cluster, once it is known.
    pub cluster_id: Option<String>,
    /// The group.
    pub group: String,
    /// Status says that it started here.
    pub recorded: bool,
    /// Its pods run.
    pub running: bool,
}

impl Claim {
    /// Incumbents first: whose pods run, then who was here before, then the smaller UID, so that all agree.
    fn rank<'a>(&self, uid: &'a str) -> (bool, bool, &'a str) {
        (!self.running, !self.recorded, uid)
    }
}

/// All claims, by group and UID.
#[derive(Debug, Default)]
pub struct Claims {
    groups: BTreeMap<String, BTreeMap<String, Claim>>,
}

impl Claims {
    /// Enters a claim in place of the pipeline's earlier one, and returns the pipeline that has a better one on the same cluster.
    pub fn enter(&mut self, uid: &str, claim: Claim) -> Option<String> {
        self.leave_others(uid, &claim.group);
        let rivals = self.groups.entry(claim.group.clone()).or_default();
        let better = rivals
            .iter()
            .filter(|(other, rival)| {
                *other != uid && rival.cluster_id.is_some() && rival.cluster_id == claim.cluster_id
            })
            .filter(|(other, rival)| rival.rank(other) < claim.rank(uid))
            .min_by(|(one, a), (other, b)| a.rank(one).cmp(&b.rank(other)))
            .map(|(_, rival)| rival.pipeline.clone());
        rivals.insert(uid.to_owned(), claim);
        better
    }

    /// Gives up a pipeline's claim.
    pub fn leave(&mut self, uid: &str) {
        self.leave_others(uid, "");
    }

    fn leave_others(&mut self, uid: &str, group: &str) {
        self.groups.retain(|name, claims| {
            if name != group {
                claims.remove(uid);
            }
            !claims.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(name: &str, recorded: bool, running: bool) -> Claim {
        Claim { pipeline: name.to_owned(), cluster_id: Some("c".to_owned()), group: "g".to_owned(), recorded, running }
    }

    #[test]
    fn the_incumbent_wins_whoever_asks_first() {
        let mut claims = Claims::default();
        assert_eq!(claims.enter("a", claim("n/new", false, false)), None);
        assert_eq!(claims.enter("b", claim("n/old", true, true)), None);
        assert_eq!(claims.enter("a", claim("n/new", false, false)), Some("n/old".to_owned()));
    }

    #[test]
    fn between_equals_the_smaller_uid_wins() {
        let mut claims = Claims::default();
        assert_eq!(claims.enter("b", claim("n/b", false, false)), None);
        assert_eq!(claims.enter("a", claim("n/a", false, false)), None);
        assert_eq!(claims.enter("b", claim("n/b", false, false)), Some("n/a".to_owned()));
    }

    #[test]
    fn another_cluster_or_group_is_no_rival_and_a_left_claim_is_gone() {
        let mut claims = Claims::default();
        claims.enter("a", claim("n/a", true, true));
        let elsewhere = Claim { cluster_id: Some("d".to_owned()), ..claim("n/b", false, false) };
        assert_eq!(claims.enter("b", elsewhere), None);
        assert_eq!(claims.enter("b", Claim { cluster_id: None, ..claim("n/b", false, false) }), None);
        assert!(claims.enter("b", claim("n/b", false, false)).is_some());
        claims.leave("a");
        assert_eq!(claims.enter("b", claim("n/b", false, false)), None);
    }
}
