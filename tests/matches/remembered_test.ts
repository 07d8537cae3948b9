/** Matches that remember addresses, and those about bytes: how they are listed, and what is refused. */
import { type Spec, specify } from "../tables/spec.ts";

const recent: Spec[] = [
  { rule: { recentSet: true }, save: "-m recent --set --name DEFAULT --mask 255.255.255.255 --rsource" },
  {
    rule: { update: { not: true }, seconds: 60, hitcount: 4, reap: true, recentName: "SSH", rdest: true },
    save: "-m recent ! --update --seconds 60 --reap --hitcount 4 --name SSH --mask 255.255.255.255 --rdest",
  },
  { rule: { recentSet: true, rcheck: true }, refused: [".recentSet", "exclude each other"] },
  { rule: { recentName: "SSH" }, refused: [".recentName", "needs recentSet, rcheck, update or remove"] },
  { rule: { recentSet: true, seconds: 60 }, refused: [".recentSet", "seconds goes with rcheck or update"] },
  { rule: { rcheck: true, reap: true }, refused: [".rcheck", "reap needs seconds"] },
  { rule: { rcheck: true, hitcount: 65535 }, refused: [".hitcount", "1 to 65534"] },
  { rule: { rcheck: true, recentName: "a/b" }, refused: [".recentName", "without a slash"] },
  { rule: { rcheck: true, rsource: true, rdest: true }, refused: [".rcheck", "exclude each other"] },
  {
    rule: { source: "192.0.2.0/24", rcheck: true, recentMask: "24" },
    refused: [".recentMask", "a mask such as"],
  },
];
specify("recent", recent);

const hashlimit: Spec[] = [
  {
    rule: { hashlimitUpto: "5/minute", hashlimitMode: ["srcip", "dstport"], hashlimitName: "web" },
    save:
      "-m hashlimit --hashlimit-upto 5/min --hashlimit-burst 5 --hashlimit-mode srcip,dstport --hashlimit-name web",
  },
  {
    rule: { hashlimitUpto: "! 60/minute", hashlimitName: "all" },
    save:
      "-m hashlimit --hashlimit-above 1/sec --hashlimit-burst 5 --hashlimit-name all --hashlimit-htable-expire 60000",
  },
  { rule: { hashlimitUpto: "5/minute" }, refused: [".hashlimitUpto", "needs hashlimitName"] },
  {
    rule: { hashlimitAbove: "512kb/s", hashlimitName: "a", hashlimitBurst: "600kb" },
    save: "-m hashlimit --hashlimit-above 512kb/s --hashlimit-burst 1mb --hashlimit-name a",
  },
  {
    rule: { hashlimitUpto: "1000b/s", hashlimitName: "a", hashlimitHtableExpire: 60000 },
    save: "-m hashlimit --hashlimit-upto 992b/s --hashlimit-name a --hashlimit-htable-expire 60000",
  },
  ...["1gb/s", "1KB/s", "1kb/min", "1kb", "68719476735b/s"].map((hashlimitUpto): Spec => ({
    rule: { hashlimitUpto, hashlimitName: "a" },
    refused: [".hashlimitUpto", "a number of bytes a second such as"],
  })),
  { rule: { hashlimitUpto: "15b/s", hashlimitName: "a" }, refused: [".hashlimitUpto", "is too slow"] },
  { rule: { hashlimitUpto: "65535mb/s", hashlimitName: "a" }, refused: [".hashlimitUpto", "is too fast"] },
  { rule: { hashlimitUpto: "32767mb/s", hashlimitName: "a" } },
  {
    rule: { hashlimitUpto: "2kb/s", hashlimitName: "a", hashlimitBurst: "1kb" },
    refused: [".hashlimitUpto", "must be 2kb at least"],
  },
  {
    rule: { hashlimitUpto: "2/s", hashlimitName: "a", hashlimitBurst: "1kb" },
    refused: [".hashlimitUpto", "the rate in packets"],
  },
  {
    rule: { hashlimitUpto: "1/s", hashlimitName: "a", hashlimitMode: "srcmac" },
    refused: [".hashlimitMode", "srcip, srcport, dstip, dstport"],
  },
  {
    rule: { source: "192.0.2.1", hashlimitUpto: "1/s", hashlimitName: "a", hashlimitSrcmask: 64 },
    refused: [".hashlimitUpto", "more than IPv4 has"],
  },
];
specify("hashlimit", hashlimit);

const connlimit: Spec[] = [
  {
    rule: { protocol: "tcp", syn: true, connlimitAbove: 10, jump: "DROP" },
    save: "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m connlimit --connlimit-above 10 " +
      "--connlimit-mask 32 --connlimit-saddr -j DROP",
    save6: "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m connlimit --connlimit-above 10 " +
      "--connlimit-mask 128 --connlimit-saddr -j DROP",
  },
  {
    rule: { source: "192.0.2.0/24", connlimitAbove: { not: 3 }, connlimitMask: 24, connlimitDaddr: true },
    save: "-s 192.0.2.0/24 -m connlimit --connlimit-upto 3 --connlimit-mask 24 --connlimit-daddr",
  },
  { rule: { connlimitMask: 24 }, refused: [".connlimitMask", "needs connlimitUpto or connlimitAbove"] },
  { rule: { connlimitUpto: 1, connlimitAbove: 2 }, refused: [".connlimitUpto", "exclude each other"] },
  { rule: { connlimitUpto: -1 }, refused: [".connlimitUpto", "from 0 to 4294967295"] },
  {
    rule: { source: "192.0.2.1", connlimitUpto: 1, connlimitMask: 64 },
    refused: [".connlimitUpto", "more than IPv4 has"],
  },
  {
    rule: { connlimitUpto: 1, connlimitSaddr: true, connlimitDaddr: true },
    refused: [".connlimitUpto", "exclude each other"],
  },
];
specify("connlimit", connlimit);

const amounts = { connbytesMode: "bytes", connbytesDir: "both" } as const;
const connbytes: Spec[] = [
  {
    rule: { connbytes: 1000, ...amounts },
    save: "-m connbytes --connbytes 1000 --connbytes-mode bytes --connbytes-dir both",
  },
  {
    rule: { connbytes: "! :18446744073709551614", connbytesMode: "avgpkt", connbytesDir: "reply" },
    save: "-m connbytes ! --connbytes 0:18446744073709551614 --connbytes-mode avgpkt --connbytes-dir reply",
  },
  { rule: { connbytes: 1000 }, refused: [".connbytes", "needs a mode"] },
  { rule: { ...amounts }, refused: [".connbytesMode", "needs connbytes"] },
  { rule: { connbytes: "5:4", ...amounts }, refused: [".connbytes", "ends before it begins"] },
  { rule: { connbytes: "5:x", ...amounts }, refused: [".connbytes", "at least so many"] },
  { rule: { connbytes: "18446744073709551616", ...amounts }, refused: [".connbytes", "at least so many"] },
  { rule: { connbytes: "! 7:7", ...amounts }, refused: [".connbytes", "Linux cannot negate"] },
  {
    rule: { connbytes: 1, connbytesMode: "kilobytes" as "bytes", connbytesDir: "both" },
    refused: [".connbytesMode", "packets, bytes, avgpkt"],
  },
];
specify("connbytes", connbytes);

const quota: Spec[] = [
  { rule: { quota: 1000 }, save: "-m quota --quota 1000" },
  { rule: { quota: "! 0x10" }, save: "-m quota ! --quota 16" },
  { rule: { quota: "18446744073709551615" }, save: "-m quota --quota 18446744073709551615" },
  { rule: { quota: -1 }, refused: [".quota", "whole number of bytes"] },
  { rule: { quota: 0.5 }, refused: [".quota", "whole number of bytes"] },
  { rule: { quota: "1kb" }, refused: [".quota", "whole number of bytes"] },
];
specify("quota", quota);

const string: Spec[] = [
  { rule: { string: 'say "x"' }, save: '-m string --string "say \\"x\\"" --algo bm' },
  { rule: { string: { not: "ü" } }, save: '-m string ! --hex-string "|c3bc|" --algo bm' },
  { rule: { hexString: "GET|20 2f|" }, save: '-m string --string "GET /" --algo bm' },
  { rule: { hexString: "|2|" }, refused: [".hexString", "bytes between bars"] },
  { rule: { hexString: "|20" }, refused: [".hexString", "bytes between bars"] },
  { rule: { string: "" }, refused: [".string", "1 to 128"] },
  { rule: { string: "x", stringFrom: 9, stringTo: 8 }, refused: [".string", "behind its end"] },
  { rule: { algo: "bm" }, refused: [".algo", "needs string or hexString"] },
];
specify("string", string);

const others: Spec[] = [
  { rule: { protocol: "udp", mss: 1400 }, refused: [".mss", 'needs protocol: "tcp"'] },
  { rule: { rpInvert: true }, refused: [".rpInvert", "raw or mangle"] },
  { rule: { macSource: "00:11" }, refused: [".macSource", "Ethernet address"] },
  { rule: { dir: "in", pol: "none", reqid: 5 }, refused: [".dir", "go with pol ipsec"] },
  {
    rule: { jump: "CLASSIFY", setClass: "1" },
    table: "mangle",
    refused: [".setClass", "two hexadecimal numbers"],
  },
  { rule: { jump: "CHECKSUM", checksumFill: true }, refused: [".jump", "belongs in mangle"] },
];
specify("matches", others);
