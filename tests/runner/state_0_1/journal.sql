-- The journal of a project with two runs of `pipe init`'s spec by swath 0.1.0, as sqlite3's iterdump writes it; only the
-- project's folder, the host and the dates are others.
BEGIN TRANSACTION;
CREATE TABLE calls (
        run TEXT NOT NULL REFERENCES runs(id), node TEXT NOT NULL, item INTEGER NOT NULL, key TEXT NOT NULL,
        state TEXT NOT NULL, attempt INTEGER NOT NULL, worker TEXT NOT NULL DEFAULT '', finished REAL,
        seconds REAL, error TEXT NOT NULL DEFAULT '', traceback TEXT NOT NULL DEFAULT '', cpu_s REAL, memory INTEGER,
        PRIMARY KEY (run, node, item)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "calls" VALUES('20250115-184023-hello-4b25','count_words',0,'a90221796e850d10f7ffaa78e74b0737','done',1,'inline',1736966423.915223,1.1529370000005201291e-03,'','',1.15383899999998984498e-03,62308352);
INSERT INTO "calls" VALUES('20250115-184023-hello-4b25','count_words',1,'122d7c097a0fded67a001f3b62553a5d','done',1,'inline',1736966423.91579,9.1386000008242262993e-05,'','',9.19759999999936184167e-05,62308352);
INSERT INTO "calls" VALUES('20250115-184023-hello-4b25','count_words',2,'427978604a1f7ebca59e53ecc278f3a5','done',1,'inline',1736966423.9158,3.32200000059401645557e-05,'','',3.62740000000583151518e-05,62308352);
INSERT INTO "calls" VALUES('20250115-184023-hello-4b25','write_table',-1,'30d3c0b165f0ed92c6e3ecb1ce0e6388','done',1,'inline',1736966423.917864,3.67764000003489854861e-04,'','',3.67524000000063466586e-04,62308352);
INSERT INTO "calls" VALUES('20250115-184024-again-2625','count_words',0,'a90221796e850d10f7ffaa78e74b0737','reused',0,'',1736966424.66131,0.0,'','',NULL,NULL);
INSERT INTO "calls" VALUES('20250115-184024-again-2625','count_words',1,'122d7c097a0fded67a001f3b62553a5d','reused',0,'',1736966424.661454,0.0,'','',NULL,NULL);
INSERT INTO "calls" VALUES('20250115-184024-again-2625','count_words',2,'427978604a1f7ebca59e53ecc278f3a5','reused',0,'',1736966424.661465,0.0,'','',NULL,NULL);
INSERT INTO "calls" VALUES('20250115-184024-again-2625','write_table',-1,'da78cf0f3af22d021f72c2dd370fa499','done',1,'inline',1736966424.665437,4.83314999996764527168e-04,'','',4.65128999999953052224e-04,62304256);
CREATE TABLE leases (
        id TEXT PRIMARY KEY, run TEXT NOT NULL REFERENCES runs(id), kind TEXT NOT NULL, made REAL NOT NULL
    ) STRICT;
CREATE TABLE logs (
        id INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs(id), time REAL NOT NULL, level TEXT NOT NULL,
        node TEXT NOT NULL, item INTEGER, worker TEXT NOT NULL, text TEXT NOT NULL
    ) STRICT;
INSERT INTO "logs" VALUES(1,'20250115-184023-hello-4b25',1736966423.917725,'info','write_table',NULL,'inline','7 words in /home/ada/project/words.txt');
INSERT INTO "logs" VALUES(2,'20250115-184024-again-2625',1736966424.665197,'info','write_table',NULL,'inline','7 words in /home/ada/project/words.txt');
CREATE TABLE nodes (
        run TEXT NOT NULL REFERENCES runs(id), node TEXT NOT NULL, code TEXT NOT NULL, version TEXT NOT NULL,
        shared TEXT NOT NULL, state TEXT NOT NULL, PRIMARY KEY (run, node)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "nodes" VALUES('20250115-184023-hello-4b25','count_words','f5e0b36efc8a07e2e2076af75cbe665b','','2ebef52f924b3fb53bd313a1c3f0dd50','done');
INSERT INTO "nodes" VALUES('20250115-184023-hello-4b25','write_table','f8308b7dddf231025811bf197dc9a1ca','','55acfdb9000769daa9e51cead5f3d9e2','done');
INSERT INTO "nodes" VALUES('20250115-184024-again-2625','count_words','f5e0b36efc8a07e2e2076af75cbe665b','','2ebef52f924b3fb53bd313a1c3f0dd50','done');
INSERT INTO "nodes" VALUES('20250115-184024-again-2625','write_table','f8308b7dddf231025811bf197dc9a1ca','','55acfdb9000769daa9e51cead5f3d9e2','done');
CREATE TABLE results (
        key TEXT PRIMARY KEY, digest TEXT NOT NULL, size INTEGER NOT NULL, data BLOB, made REAL NOT NULL, run TEXT NOT NULL
    ) STRICT;
INSERT INTO "results" VALUES('a90221796e850d10f7ffaa78e74b0737','6d0d02471280c39c86d400b41204fac6',97,X'80059556000000000000007D94288C0161944B028C09736174656C6C697465944B018C0473656573944B018C057374726970944B018C026F66944B018C0667726F756E64944B018C02696E944B018C036F6E65944B018C0470617373944B01752E',1736966423.915286,'20250115-184023-hello-4b25');
INSERT INTO "results" VALUES('122d7c097a0fded67a001f3b62553a5d','3ccb722ca98681a9b5907d4ae6d93f91',94,X'80059553000000000000007D94288C03746865944B018C057374726970944B028C026973944B028C0663616C6C6564944B018C0161944B038C057377617468944B028C03616E64944B018C026F66944B018C0667726F756E64944B01752E',1736966423.915858,'20250115-184023-hello-4b25');
INSERT INTO "results" VALUES('427978604a1f7ebca59e53ecc278f3a5','791ebce3fc906be13111fa6140c813b9',85,X'8005954A000000000000007D94288C046D616E79944B018C06706173736573944B018C046D616B65944B018C0161944B018C036D6170944B018C026F66944B018C03746865944B018C0667726F756E64944B01752E',1736966423.915858,'20250115-184023-hello-4b25');
INSERT INTO "results" VALUES('30d3c0b165f0ed92c6e3ecb1ce0e6388','b19f0cab643c1e4336e37cd154d87395',42,X'8005951F000000000000008C1B2F686F6D652F6164612F70726F6A6563742F776F7264732E747874942E',1736966423.917922,'20250115-184023-hello-4b25');
INSERT INTO "results" VALUES('da78cf0f3af22d021f72c2dd370fa499','b19f0cab643c1e4336e37cd154d87395',42,X'8005951F000000000000008C1B2F686F6D652F6164612F70726F6A6563742F776F7264732E747874942E',1736966424.665531,'20250115-184024-again-2625');
CREATE TABLE runs (
        id TEXT PRIMARY KEY, pipeline TEXT NOT NULL, name TEXT NOT NULL, spec_path TEXT NOT NULL, spec_text TEXT NOT NULL,
        overrides TEXT NOT NULL, cluster TEXT NOT NULL, root TEXT NOT NULL, status TEXT NOT NULL, started REAL NOT NULL,
        finished REAL, exit_code INTEGER, error TEXT NOT NULL DEFAULT '', host TEXT NOT NULL, pid INTEGER NOT NULL,
        process_started REAL NOT NULL, outputs TEXT NOT NULL DEFAULT '[]', git TEXT NOT NULL DEFAULT '{}'
    , heartbeat REAL, fresh INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO "runs" VALUES('20250115-184023-hello-4b25','hello','hello','specs/hello.yaml','pipeline: hello
texts:
  - A satellite sees a strip of ground in one pass.
  - The strip is called a swath, and a swath is a strip of ground.
  - Many passes make a map of the ground.
least: 2
to: words.txt
cluster: inline            # this process; `local` uses every core of this machine
','[]','inline','/home/ada/project','done',1736966423.902382,1736966423.983113,0,'','laptop',2739,250.57,'["/home/ada/project/words.txt"]','{}',1736966423.910159,0);
INSERT INTO "runs" VALUES('20250115-184024-again-2625','hello','again','specs/hello.yaml','pipeline: hello
texts:
  - A satellite sees a strip of ground in one pass.
  - The strip is called a swath, and a swath is a strip of ground.
  - Many passes make a map of the ground.
least: 2
to: words.txt
cluster: inline            # this process; `local` uses every core of this machine
','["name=again"]','inline','/home/ada/project','done',1736966424.646854,1736966424.732963,0,'','laptop',2744,251.31,'["/home/ada/project/words.txt"]','{}',1736966424.658554,0);
CREATE INDEX logs_of_run ON logs (run, id);
CREATE INDEX failed_calls ON calls (run) WHERE state = 'failed';
COMMIT;
PRAGMA user_version = 3;
