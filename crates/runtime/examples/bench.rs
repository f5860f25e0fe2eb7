use std::io::Write;
use runtime::plan::*;
use archive::payload::*;
use archive::digest::Sha256;
fn walk(root:&std::path::Path, rel:&str, entries:&mut Vec<Entry>, bytes:&mut Vec<u8>, frame:usize){
    let mut l:Vec<_>=std::fs::read_dir(root.join(rel)).unwrap().map(|e|e.unwrap()).collect();
    l.sort_by_key(|e|e.file_name());
    for e in l { let n=e.file_name().into_string().unwrap(); let p= if rel.is_empty(){n}else{format!("{rel}/{n}")};
        let t=e.file_type().unwrap();
        let kind= if t.is_symlink(){Kind::SymbolicLink{target:std::fs::read_link(e.path()).unwrap().to_str().unwrap().into()}}
        else if t.is_dir(){walk(root,&p,entries,bytes,frame);continue}
        else {let c=std::fs::read(e.path()).unwrap(); let offset=bytes.len() as u64; bytes.extend(&c);
            Kind::File(File{frame,offset,size:c.len() as u64,mode:0o644,modified:1,sha256:Sha256::of(&c),placeholder:None})};
        entries.push(Entry{path:p,source:None,kind,clobbered_by:None,no_link:false});
    }
}
fn main(){
    let a:Vec<String>=std::env::args().collect();
    if a[1]=="make" {
        let f=std::fs::File::create(&a[2]).unwrap();
        let mut w=Writer::new(std::io::BufWriter::new(f),&[b'#';BLOCK],b"").unwrap();
        let root=std::path::Path::new(&a[3]);
        let mut plan:Plan=serde_json::from_value(serde_json::json!({"name":"x","version":"1","platform":"linux-64","requires":{},"prefix":{"default":"x","check_spaces":false},"dialogue":{"conclusion":"","initialize":"no"},"packages":[],"work":[],"update_specs":[],"need":{"bytes":0,"inodes":0},"need_kept":{"bytes":0,"inodes":0}})).unwrap();
        let mut packages=vec![]; let mut sizes=vec![];
        for (i,e) in std::fs::read_dir(root).unwrap().enumerate(){ let e=e.unwrap(); if !e.file_type().unwrap().is_dir(){continue}
            let n=e.file_name().into_string().unwrap(); let mut entries=vec![]; let mut bytes=vec![];
            let frame=packages.len();
            walk(root,&n,&mut entries,&mut bytes,frame);
            let z=zstd::bulk::compress(&bytes,12).unwrap();
            w.frame(&mut &z[..],z.len() as u64,bytes.len() as u64,None).unwrap();
            sizes.push(bytes.len());
            plan.packages.push(PackageHead{name:format!("p{i}"),version:"1".into(),build:"0".into(),subdir:"noarch".into(),channel:"c".into(),url:"u".into(),entries:0,size:0,plan:0});
            plan.work.push(Work{frame,packages:vec![packages.len()],info:false});
            packages.push(Package{dist:format!("p{i}-1-0"),entries,..Package::default()});
        }
        plan.work.sort_by_key(|w|std::cmp::Reverse(sizes[w.frame]));
        for (h,p) in plan.packages.iter_mut().zip(&packages){h.plan=w.json(p).unwrap();}
        let p=w.json(&plan).unwrap();
        w.finish(p).unwrap().sink.flush().unwrap();
    } else {
        let f=std::fs::File::open(&a[2]).unwrap();
        let p=Payload::open(&f,f.metadata().unwrap().len()).unwrap();
        let plan:Plan=p.json(p.index.plan).unwrap();
        let c=std::sync::atomic::AtomicBool::new(false);
        let o=runtime::Options{prefix:a[3].clone().into(),force:false,keep_packages:a.len()>4,skip_scripts:false,compile:false,threads:2,unattended:true,installer:"x".into(),command_line:"x".into(),now:0,cancelled:&c};
        println!("{:?}",runtime::install(&p,&plan,&o,&|_|()).unwrap());
    }
}
