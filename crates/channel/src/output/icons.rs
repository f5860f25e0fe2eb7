//! Icons as files of the channel: `icons/MD5.png`, beside the platforms' folders. The name is what
//! `icon` in a record says (conda-build sets it to the digest of `info/icon.png`, and conda's old
//! indexers wrote the files there), so that clients find the file from the record. It is made from
//! the content, not from the record, which may say anything.

use archive::digest::Md5;

/// The largest icon, in bytes. Real ones have some ten thousand.
const LIMIT: usize = 1 << 20;

/// The signature with which PNG files begin (PNG specification, 5.2).
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The path of an icon in the channel. None if it is no PNG image or too large, and so not written.
pub(crate) fn path(icon: &[u8]) -> Option<String> {
    (icon.starts_with(SIGNATURE) && icon.len() <= LIMIT)
        .then(|| format!("icons/{}.png", Md5::of(icon)))
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn only_images_are_written() {
        let image = b"\x89PNG\r\n\x1a\nrest";
        let expected = "icons/fe70374a342a551816afeafd712d358c.png";
        assert_eq!(path(image).as_deref(), Some(expected));
        assert_eq!(path(b"<html>"), None);
        assert_eq!(path(b""), None);
        let mut large = image.to_vec();
        large.resize((1 << 20) + 1, 0);
        assert_eq!(path(&large), None);
    }
}
