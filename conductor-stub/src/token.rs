//! The agent token: who may speak for a node.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::mask::MASK;
use crate::node::Node;

/// A fresh secret: 32 random bytes in 43 URL-safe characters.
pub fn generate() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// The token to show at a look-up: made and shown once, masked afterwards.
pub fn hand_out(node: &mut Node) -> String {
    if node.internal.agent_secret_token.is_some() {
        return MASK.into();
    }
    let token = generate();
    node.internal.agent_secret_token = Some(token.clone());
    token
}

/// A token that the node's ramdisk carries with it: known on both sides before the agent calls, so never shown.
pub fn pregenerate(node: &mut Node) -> String {
    let token = generate();
    node.internal.agent_secret_token = Some(token.clone());
    node.internal.agent_secret_token_pregenerated = true;
    token
}

/// The token that requests to the agent carry.
pub fn of(node: &Node) -> Option<&str> {
    node.internal.agent_secret_token.as_deref()
}

/// Whether `offered` is the node's token, in a time that says nothing about it.
pub fn matches(node: &Node, offered: &str) -> bool {
    of(node).is_some_and(|token| bool::from(token.as_bytes().ct_eq(offered.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Spec;

    #[test]
    fn a_token_that_came_with_the_ramdisk_is_never_shown() {
        let mut node = Node::new(uuid::Uuid::new_v4(), Spec::default());
        let token = pregenerate(&mut node);
        assert_eq!(hand_out(&mut node), MASK);
        assert!(matches(&node, &token));
    }

    #[test]
    fn a_token_is_shown_once() {
        let mut node = Node::new(uuid::Uuid::new_v4(), Spec::default());
        assert!(!matches(&node, ""), "no token yet: nobody matches");
        let token = hand_out(&mut node);
        assert_eq!(token.len(), 43);
        assert_eq!(hand_out(&mut node), MASK);
        assert!(matches(&node, &token));
        assert!(!matches(&node, MASK));
    }
}
