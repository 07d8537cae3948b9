/**
 * What helpers are called on which port (nf_ct_helper_init): the plain name on the usual port, else the port or the
 * place in the list behind it; and that each is a helper of its own to rules and listings.
 */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { ConfigError, validate } from "../../src/config/validate.ts";
import { type ConntrackHelper, perPort } from "../../src/conntrack/helper.ts";
import { amanda, conntrackFtp, ftp, irc, natFtp, natTftp, sane, talk, tftp } from "../../src/helpers/mod.ts";
import * as shipped from "../../src/helpers/mod.ts";
import { RELATED } from "../../src/netfilter.ts";
import { SHIPPED_HELPERS } from "../../src/targets/ct.ts";
import { Lab } from "../nat/lab.ts";
import { Control, expectations } from "./control.ts";

const interfaces = { lan: { addresses: ["192.0.2.1/24"] }, wan: { addresses: ["198.51.100.1/24"] } };

Deno.test("validate makes of a helper with several ports one for each, named as in Linux", () => {
  const helpers = [
    ftp({ ports: [2121, 21, 2122] }),
    irc({ ports: [6667, 6668, 7000] }),
    tftp({ ports: [6969, 69] }),
    sane({ ports: [6566, 6567], autoAssign: false }),
    amanda(),
    talk(),
  ];
  assertEquals(
    validate({ interfaces, helpers }).helpers.map(({ name, ports, autoAssign }) => [name, ports, autoAssign]),
    [
      ["ftp-2121", [2121], true],
      ["ftp", [21], true],
      ["ftp-2122", [2122], true],
      ["irc", [6667], true],
      ["irc-1", [6668], true],
      ["irc-2", [7000], true],
      ["tftp-0", [6969], true],
      ["tftp", [69], true],
      ["sane", [6566], false],
      ["sane-6567", [6567], false],
      ["amanda", [10080], true],
      ["talk", [517, 518], true], // not Linux's
    ],
  );
});

Deno.test("-j CT --helper takes each of the names, and no other", () => {
  const mistakes = (helper: string) => {
    const rule = { protocol: "tcp", dport: 990, jump: "CT", helper } as const;
    const config = {
      interfaces,
      helpers: [ftp({ ports: [21, 2121] })],
      tables: { ipv4: { raw: { PREROUTING: [rule] } } },
    };
    try {
      validate(config);
    } catch (error) {
      if (error instanceof ConfigError) return error.problems.map(({ message }) => message).join();
      throw error;
    }
    return "";
  };
  assertEquals(mistakes("ftp"), "");
  assertEquals(mistakes("ftp-2121"), "");
  assertStringIncludes(mistakes("ftp-990"), 'helper "ftp-990" is not listed');
});

Deno.test("a helper that is not listed is one that Weir has, or one that it has not", () => {
  const made = Object.entries(shipped).filter(([name]) => /^[a-z]+$/.test(name)).map(([name, make]) => {
    const helper = (make as () => ConntrackHelper)();
    assertEquals(helper.name, name);
    return name;
  });
  assertEquals(SHIPPED_HELPERS.toSorted(), made.sort());
});

Deno.test("a rule that asks for a helper which is not listed never fits, and a check says so", () => {
  const warnings = (helper: string, helpers = [ftp({ ports: [21, 2121] })]) =>
    validate({
      interfaces,
      helpers,
      tables: { filter: { FORWARD: [{ helper, jump: "ACCEPT" }] } },
    }).warnings.map(({ path, message }) => `${path} ${message}`);
  const place = "tables.filter.FORWARD[0] never fits: ";
  assertEquals(warnings("sip"), [`${place}no helper "sip" is listed in \`helpers\` (listed: ftp, ftp-2121)`]);
  assertEquals(warnings("sip", []), [`${place}no helper "sip" is listed in \`helpers\``]);
  assertEquals(warnings("", []), [`${place}no helper is listed in \`helpers\``]);
  for (const fits of ["ftp", "ftp-2121", "ftp-990", "", "! sip"]) assertEquals(warnings(fits), [], fits);
});

Deno.test("a NAT half in the list of helpers is told where it belongs", () => {
  for (const half of [natFtp, natTftp]) {
    const mistake = half === natFtp ? "conntrackFtp({ nat: natFtp })" : "conntrackTftp({ nat: natTftp })";
    const error = assertThrows(() => validate({ interfaces, helpers: [half as never] }), ConfigError);
    assertEquals(error.problems, [{
      path: "helpers[0]",
      message: `is a NAT half; its conntrack half takes it: ${mistake}`,
    }]);
  }
});

Deno.test("a helper whose name another one has on some port is listed twice", () => {
  const helpers = [ftp({ ports: [21, 2121] }), ftp({ ports: [2121], loose: true })];
  const error = assertThrows(() => validate({ interfaces, helpers }), ConfigError);
  assertEquals(error.problems.map(({ path }) => path), ["helpers[1]"]);
  assertStringIncludes(error.message, 'helper "ftp-2121" is listed twice');
});

Deno.test("flows have the helper of their port, each works, and one is unloaded without the other", () => {
  const lab = new Lab({ helpers: perPort(conntrackFtp({ ports: [21, 2121] })) });
  const usual = new Control(lab, { seenClient: "10.0.0.2" }).open();
  const other = new Control(lab, { seenClient: "10.0.0.2", sport: 40002, dport: 2121 }).open();
  const names = () => lab.list().map((line) => /helper=(\S+)/.exec(line)?.[1]).sort();
  assertEquals(names(), ["ftp", "ftp-2121"]);
  usual.fromClient("PORT 10,0,0,2,7,208\r\n");
  other.fromClient("PORT 10,0,0,2,7,209\r\n");
  assertEquals(expectations(lab).length, 2);
  assertEquals([usual.serverDials(2000).ctinfo, other.serverDials(2001).ctinfo], [RELATED, RELATED]);
  assertEquals(lab.conntrack.unloadHelper(1), { flows: 1, expectations: 0 });
  assertEquals(names().filter((name) => name !== undefined), ["ftp"]);
});
