"""The functions that set options: ``setSettingsForPort`` and its plain forms.

What they set holds from the next ``run`` on: a running server keeps the settings that it was
started with.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Optional, Union

from .settings import Settings, ports_key

PortName = Union[int, str]
Path = Union[str, "os.PathLike[str]"]


class Configuration:
    """The settings of one server.

    In all of its methods ``port_name`` is the name or the number of a port: empty, 0 and ``main``
    are the main port, and -1 is every port, where an option of one port wins over that of every
    port. Later calls add to earlier ones. A parameter that is None, as all are by default, sets
    nothing; ``setSettingsForPort`` takes None back to "unset". The plain forms take any other
    option, too, by its name in lower case.
    """

    _settings: Settings

    def setSettingsForPort(self, settings: Mapping[str, Any], port_name: PortName = "") -> None:
        """Set options of a port, from the next ``run`` on; later calls add to earlier ones.

        Args:
            settings: Option name to value.
            port_name: The port; empty: the main port; -1: every port.

        Raises:
            OperationFailed: an option is unknown, its value cannot be, or it is the whole server's
                and the port is not the main one.
        """
        self._settings.set_for_port(settings, ports_key(port_name))

    def setPortInfo(
        self,
        port_name: PortName = "",
        port: Optional[int] = None,
        max_port: Optional[int] = None,
        allow_system_port: Optional[bool] = None,
        address: Optional[str] = None,
        ipv6: Optional[bool] = None,
        allowed_hosts: Optional[Sequence[str]] = None,
        use_x_forwarded_host: Optional[bool] = None,
        **others: Any,
    ) -> None:
        """Set where a port listens and for whom, from the next ``run`` on.

        Args:
            port_name: The port; empty: the main port; -1: every port.
            port: The number to listen on; 0: the system chooses. ``run`` sets that of the main
                port itself, unless it is called with ``port=-1``.
            max_port: The last number to try when that one cannot be had.
            allow_system_port: Let the system choose when all of those fail.
            address: The address or host name to listen on; empty: loopback alone.
            ipv6: Listen on ::1 too when the address is empty.
            allowed_hosts: The hosts that requests may be for.
            use_x_forwarded_host: Believe what trusted proxies say of the host.
            others: Other options, by their names in lower case.

        Raises:
            OperationFailed: a value cannot be, or a name is no option's.
        """
        named = {
            "PORT": port,
            "MAX_PORT": max_port,
            "ALLOW_SYSTEM_PORT": allow_system_port,
            "ADDRESS": address,
            "IPV6": ipv6,
            "ALLOWED_HOSTS": allowed_hosts,
            "USE_X_FORWARDED_HOST": use_x_forwarded_host,
        }
        self._set("setPortInfo", port_name, named, others)

    def setSSL(
        self,
        port_name: PortName = "",
        certificate: Optional[Path] = None,
        certificate_key: Optional[Path] = None,
        dh_params: Optional[Path] = None,
        verify_peer: Optional[bool] = None,
        client_ca: Optional[Path] = None,
        certificate_key_password: Optional[str] = None,
        **others: Any,
    ) -> None:
        """Set how a port is encrypted, from the next ``run`` on.

        Args:
            port_name: The port; empty: the main port; -1: every port.
            certificate: The PEM file of a certificate and its chain.
            certificate_key: The PEM file of its key, if it is another one.
            dh_params: The PEM file of Diffie-Hellman parameters.
            verify_peer: With ``client_ca``, require a client certificate.
            client_ca: The PEM file of the authorities of client certificates.
            certificate_key_password: What an encrypted key is opened with.
            others: Other options, by their names in lower case.

        Raises:
            OperationFailed: a value cannot be, a file is not there, or a name is no option's.
        """
        named = {
            "SSL_CERTIFICATE": certificate,
            "SSL_CERTIFICATE_KEY": certificate_key,
            "SSL_DH_PARAMS": dh_params,
            "SSL_VERIFY_PEER": verify_peer,
            "SSL_CLIENT_CA": client_ca,
            "SSL_CERTIFICATE_KEY_PASSWORD": certificate_key_password,
        }
        self._set("setSSL", port_name, named, others)

    def setSecurity(
        self,
        port_name: PortName = "",
        redirect: Optional[bool] = None,
        redirect_host: Optional[str] = None,
        redirect_exempt: Optional[Sequence[str]] = None,
        hsts_seconds: Optional[int] = None,
        hsts_include_subdomains: Optional[bool] = None,
        hsts_preload: Optional[bool] = None,
        access_token: Optional[str] = None,
        **others: Any,
    ) -> None:
        """Set what a port demands of its clients, from the next ``run`` on.

        Args:
            port_name: The port; empty: the main port; -1: every port.
            redirect: Send browsers from plain HTTP to https, and refuse other clients.
            redirect_host: Where to; empty: the host of the request.
            redirect_exempt: Hosts that this does not concern.
            hsts_seconds: Seconds that browsers are to use https alone.
            hsts_include_subdomains: And for its subdomains.
            hsts_preload: And let browsers know it beforehand.
            access_token: What clients must send as ``Authorization: Bearer``.
            others: Other options, by their names in lower case.

        Raises:
            OperationFailed: a value cannot be, or a name is no option's.
        """
        named = {
            "SSL_REDIRECT": redirect,
            "SSL_REDIRECT_HOST": redirect_host,
            "SSL_REDIRECT_EXEMPT": redirect_exempt,
            "SECURE_HSTS_SECONDS": hsts_seconds,
            "SECURE_HSTS_INCLUDE_SUBDOMAINS": hsts_include_subdomains,
            "SECURE_HSTS_PRELOAD": hsts_preload,
            "ACCESS_TOKEN": access_token,
        }
        self._set("setSecurity", port_name, named, others)

    def setLogInfo(
        self,
        port_name: PortName = "",
        log_file: Optional[Path] = None,
        min_log_severity: Optional[int] = None,
        access_log_file: Optional[Path] = None,
        access_log_format: Optional[str] = None,
        log_file_max_size: Optional[int] = None,
        log_file_count: Optional[int] = None,
        **others: Any,
    ) -> None:
        """Set what a port logs to files, from the next ``run`` on.

        Args:
            port_name: The port; empty: the main port; -1: every port.
            log_file: The file that what concerns the port is logged to as well.
            min_log_severity: The least ``webServerSeverity`` that goes there.
            access_log_file: The file for the lines of requests.
            access_log_format: How they are written: common, combined or json.
            log_file_max_size: Bytes at which a log file is rotated; 0: never.
            log_file_count: How many rotated ones are kept.
            others: Other options, by their names in lower case.

        Raises:
            OperationFailed: a value cannot be, a folder is not there, or a name is no option's.
        """
        named = {
            "LOG_FILE": log_file,
            "MIN_LOG_SEVERITY": min_log_severity,
            "ACCESS_LOG_FILE": access_log_file,
            "ACCESS_LOG_FORMAT": access_log_format,
            "LOG_FILE_MAX_SIZE": log_file_max_size,
            "LOG_FILE_COUNT": log_file_count,
        }
        self._set("setLogInfo", port_name, named, others)

    def setCORSWhitelist(self, origins: Sequence[str], port_name: PortName = "") -> None:
        """Set the origins whose pages may call a port and read it, from the next ``run`` on.

        Args:
            origins: As browsers send them: ``["https://pages.example"]``; an empty list: none.
            port_name: The port; empty: the main port; -1: every port.

        Raises:
            OperationFailed: it is no list of texts.
        """
        self._set("setCORSWhitelist", port_name, {"CORS_ALLOWED_ORIGINS": origins}, {})

    def _set(
        self,
        function: str,
        port_name: PortName,
        named: Mapping[str, Any],
        others: Mapping[str, Any],
    ) -> None:
        given = {name: value for name, value in named.items() if value is not None}
        given.update({name.upper(): value for name, value in others.items()})
        self._settings.set_for_port(given, ports_key(port_name), function)
