/* Stand-ins for two libraries that Debian's multipath and device mapper are linked to. Of each they use a few functions,
 * and in the ramdisk, where neither systemd nor SELinux runs, the real ones would do exactly this; with all that they
 * need they are a tenth of the ramdisk. */

#ifdef SYSTEMD
int sd_listen_fds(int unset_environment) { return 0; }
int sd_notify(int unset_environment, const char *state) { return 0; }
#endif

#ifdef SELINUX
int is_selinux_enabled(void) { return 0; }
int matchpathcon(const char *path, unsigned mode, char **context) { return -1; }
int lsetfilecon(const char *path, const char *context) { return 0; }
int setfscreatecon(const char *context) { return 0; }
void freecon(char *context) {}
#endif
