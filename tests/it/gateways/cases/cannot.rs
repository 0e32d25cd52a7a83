//! What a gateway cannot do is no secret.

use crate::gateways::{Feature, Gateway};

pub(in crate::gateways) async fn what_it_cannot_do_is_told_in_its_readme<G: Gateway>() {
    let readme = G::readme();
    for feature in Feature::ALL {
        if let Some(reason) = G::cannot(feature) {
            assert!(readme.contains(reason), "{feature:?}: {reason}");
        }
    }
}
