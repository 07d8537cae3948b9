/**
 * Open vSwitch's userspace datapath: OpenFlow rules that track and translate as the iptables rules do. Its database and
 * its switch are started here, in the lab, and know nothing of the machine's.
 */
import { MAC, WAN_GATE } from "../addresses.ts";
import { type Contender, processRouter } from "../contender.ts";
import { cable } from "./cable.ts";

const SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema";

const TO_WAN = `dec_ttl,mod_dl_src:${MAC.wanGate},mod_dl_dst:${MAC.wan},output:wan`;
const TO_LAN = `dec_ttl,mod_dl_src:${MAC.lanGate},mod_dl_dst:${MAC.lan},output:lan`;
const NAT = `commit,zone=1,nat(src=${WAN_GATE})`;

/** The rules: NOTRACK, established, invalid, new from lan, FTP's helper, and nothing else. */
const FLOWS = `
table=0,priority=30,in_port=lan,udp,tp_dst=9,actions=${TO_WAN}
table=0,priority=20,ip,actions=ct(table=1,zone=1,nat)
table=0,priority=0,actions=drop
table=1,priority=30,in_port=lan,ip,ct_state=+trk+est-inv,actions=${TO_WAN}
table=1,priority=30,in_port=wan,ip,ct_state=+trk+est-inv,actions=${TO_LAN}
table=1,priority=30,in_port=lan,ip,ct_state=+trk+rel-inv,actions=${TO_WAN}
table=1,priority=30,in_port=wan,ip,ct_state=+trk+rel-inv,actions=${TO_LAN}
table=1,priority=20,in_port=lan,tcp,tp_dst=21,ct_state=+trk+new-inv,actions=ct(${NAT},alg=ftp),${TO_WAN}
table=1,priority=10,in_port=lan,ip,ct_state=+trk+new-inv,actions=ct(${NAT}),${TO_WAN}
table=1,priority=0,actions=drop
`;

export const ovs: Contender = {
  name: "ovs",
  title: "OVS",
  needs: ["ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl", "ovs-ofctl"],
  mostFlows: 3_000_000,
  warms: false,
  async start(stage) {
    await cable(stage);
    const dir = `${stage.lab.dir}/ovs`;
    await Deno.mkdir(dir);
    const env = { OVS_RUNDIR: dir, OVS_LOGDIR: dir, OVS_DBDIR: dir, OVS_SYSCONFDIR: dir };
    const db = `unix:${dir}/db.sock`;
    const ok = async (program: string, args: string[], stdin?: string) => {
      const { code, stderr } = await stage.lab.run("", program, args, { env, stdin });
      if (code !== 0) throw new Error(`${program} ${args.join(" ")}: ${stderr.trim()}`);
    };
    await ok("ovsdb-tool", ["create", `${dir}/conf.db`, SCHEMA]);
    stage.lab.spawn("", "ovsdb-server", [`${dir}/conf.db`, `--remote=p${db}`, "--no-chdir"], { env });
    await exists(`${dir}/db.sock`);
    const vsctl = (...args: string[]) => ok("ovs-vsctl", ["--timeout=10", `--db=${db}`, ...args]);
    await vsctl("--no-wait", "init");
    await vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:userspace-tso-enable=true");
    const process = stage.spawnRouter(
      "",
      ["ovs-vswitchd", db, "--no-chdir", `--pidfile=${dir}/vswitchd.pid`],
      env,
    );
    const bridge = [
      "add-br",
      "br0",
      "--",
      "set",
      "bridge",
      "br0",
      "datapath_type=netdev",
      "fail-mode=secure",
    ];
    await vsctl(...bridge, "--", "add-port", "br0", "lan", "--", "add-port", "br0", "wan");
    await stage.ip("", "link set lan up\nlink set wan up\n");
    await ok("ovs-ofctl", ["add-flows", "br0", "-"], FLOWS);
    return processRouter(process, MAC.lanGate);
  },
};

async function exists(path: string): Promise<void> {
  for (let i = 0; i < 500; i++) {
    try {
      await Deno.stat(path);
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
  throw new Error(`${path} did not appear`);
}
