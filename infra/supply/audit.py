"""Look for known vulnerabilities of locked packages: python audit.py PIP-AUDIT LOCK...

Exit code 0: every package was looked up, and none has a known vulnerability. 1: some have. 2: there was no database for all or some of
the packages, so that nothing is known of them. pip-audit alone ends with 0 in that case.
"""

import json
import subprocess
import sys


def main(tool: str, *locks: str) -> int:
    """Say what was found, and what was not looked up."""
    packages = []
    for lock in locks:  # a package may be in several
        command = [tool, "--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off"]
        done = subprocess.run([*command, "--requirement", lock], capture_output=True, text=True, check=False)
        try:
            packages += json.loads(done.stdout)["dependencies"]
        except (ValueError, KeyError, TypeError):
            print(f"NOT CHECKED: no database of vulnerabilities could be asked\n{done.stderr.strip()[-2000:]}")
            return 2
    looked_up = [each for each in packages if "skip_reason" not in each]
    skipped = [each["name"] for each in packages if "skip_reason" in each]
    found = [(each["name"], each["version"], one["id"]) for each in looked_up for one in each["vulns"]]
    for name, version, identity in found:
        print(f"{name} {version}: {identity}")
    print(f"{len(looked_up)} packages were looked up, {len(found)} vulnerabilities are known")
    if skipped or not packages:
        names = ", ".join(skipped[:10]) + (" ..." if len(skipped) > 10 else "")
        print(f"NOT CHECKED: the index has no database of vulnerabilities for {len(skipped)} packages: {names}")
    return 1 if found else 2 if skipped or not packages else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
