"""Which directives of an SSH client configuration count here, which may be passed over, and which must not be. Pure.

The names and meanings are those of ssh_config(5).
"""

SINGLE = frozenset(
    """
    addressfamily bindaddress globalknownhostsfile hashknownhosts hostkeyalias hostname identitiesonly identityagent
    port proxyjump stricthostkeychecking user userknownhostsfile
    """.split()  # noqa: SIM905
)
"""Those that count, and whose first value is the one that holds."""

GATHERED = frozenset({"certificatefile", "identityfile"})
"""Those that count, and of which every value holds."""

REFUSED = {
    "bindinterface": "choose the interface by BindAddress",
    "canonicalizehostname": "write the host's full name",
    "knownhostscommand": "write the keys to a file and name it in UserKnownHostsFile",
    "pkcs11provider": "add the token to ssh-agent (ssh-add -s)",
    "proxycommand": "it runs a program; use ProxyJump, or a tunnel that is already open",
    "proxyusefdpass": "use ProxyJump",
    "pubkeyauthentication": "only keys are supported; remove it",
    "refuseconnection": "this host is not to be connected to",
    "revokedhostkeys": "write its keys to known_hosts, each marked @revoked",
    "verifyhostkeydns": "write the host's key to known_hosts",
}
"""Those that decide who is reached or who one is, and are not done here; with what to do instead."""

HARMLESS_VALUES = {
    "pubkeyauthentication": ("yes", "true"),
    "refuseconnection": (),
}
"""With these values a refused directive changes nothing; "no", "false" and "none" for those that are not listed."""

PASSED_OVER = frozenset(
    """
    addkeystoagent batchmode canonicaldomains canonicalizefallbacklocal canonicalizemaxdots
    canonicalizepermittedcnames casignaturealgorithms challengeresponseauthentication channeltimeout checkhostip
    ciphers clearallforwardings compression connectionattempts connecttimeout controlmaster controlpath
    controlpersist dynamicforward enableescapecommandline enablesshkeysign escapechar exitonforwardfailure
    fingerprinthash forkafterauthentication forwardagent forwardx11 forwardx11timeout forwardx11trusted gatewayports
    gssapiauthentication gssapiclientidentity gssapidelegatecredentials gssapikexalgorithms gssapikeyexchange
    gssapirenewalforcesrekey gssapiserveridentity gssapitrustdns hostbasedacceptedalgorithms hostbasedauthentication
    hostbasedkeytypes hostkeyalgorithms ignoreunknown ipqos kbdinteractiveauthentication kbdinteractivedevices
    kexalgorithms localcommand localforward loglevel logverbose macs nohostauthenticationforlocalhost
    numberofpasswordprompts obscurekeystroketiming passwordauthentication permitlocalcommand permitremoteopen
    preferredauthentications pubkeyacceptedalgorithms pubkeyacceptedkeytypes rekeylimit remotecommand remoteforward
    requesttty requiredrsasize securitykeyprovider sendenv serveralivecountmax serveraliveinterval sessiontype
    setenv stdinnull streamlocalbindmask streamlocalbindunlink syslogfacility tag tcpkeepalive tunnel tunneldevice
    updatehostkeys usekeychain useprivilegedport visualhostkey warnweakcrypto xauthlocation
    """.split()  # noqa: SIM905
)
"""Those without a say in who is reached, or without which it is judged no less strictly."""


def is_harmless(keyword: str, value: str) -> bool:
    """Whether a refused directive has a value with which it changes nothing."""
    return value.lower() in HARMLESS_VALUES.get(keyword, ("no", "false", "none"))
