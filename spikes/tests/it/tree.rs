use anyhow::Result;
use tenwords_spikes::tree;

#[test]
fn x() -> Result<()> {
    let f = tempfile::tempdir()?;
    let t = std::time::Instant::now();
    let made = tree::make(&f.path().join("t"), 64 << 20)?;
    eprintln!("{made:?} {:?}", t.elapsed());
    let t = std::time::Instant::now();
    let read = tree::Tree::read(&f.path().join("t"))?;
    eprintln!("{} {:?}", read.census(), t.elapsed());
    let mut s = tenwords_spikes::search::Search::new()
        .for_words("acrobat zoom felt-tip unplug rocky maroon zigzag abacus yo-yo drop-down")
        .for_bytes("K", &[7; 32]);
    let t = std::time::Instant::now();
    s.files(f.path())?;
    eprintln!("{:?} {:?}", s, t.elapsed());
    Ok(())
}
