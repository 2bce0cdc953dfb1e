/* A PKCS #11 module that misbehaves as the environment variable FAULT says. Its
 * one token holds the certificate in the file CERTIFICATE. No key is behind it.
 * The headers come with the Go binding. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "pkcs11go.h"

static const char *fault(void) { const char *f = getenv("FAULT"); return f ? f : ""; }
static int is(const char *name) { return strcmp(fault(), name) == 0; }

static CK_BYTE certificate[32768];
static CK_ULONG certificate_len;
static CK_OBJECT_CLASS wanted;
static int found;

static CK_RV initialize(void *args)
{
	(void)args;
	puts("eidbridge-pkcs11 chatter on standard output");
	if (is("crash")) *(volatile int *)8 = 1;
	if (is("exit")) exit(0);
	if (is("hang")) for (;;) pause();
	FILE *f = fopen(getenv("CERTIFICATE"), "rb");
	if (f) { certificate_len = fread(certificate, 1, sizeof certificate, f); fclose(f); }
	return CKR_OK;
}

static CK_RV finalize(void *reserved) { (void)reserved; for (;;) pause(); }

static CK_RV get_slot_list(CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *count)
{
	(void)present;
	if (is("small-buffer") && list) return CKR_BUFFER_TOO_SMALL;
	if (is("many-slots")) { *count = 0x40000000; return CKR_OK; }
	if (list) list[0] = 0;
	*count = 1;
	return CKR_OK;
}

static CK_RV get_slot_info(CK_SLOT_ID id, CK_SLOT_INFO *info)
{
	(void)id;
	memset(info, ' ', sizeof *info);
	memcpy(info->slotDescription, "Faulty", 6);
	info->flags = CKF_TOKEN_PRESENT;
	return CKR_OK;
}

static CK_RV get_token_info(CK_SLOT_ID id, CK_TOKEN_INFO *info)
{
	(void)id;
	memset(info, ' ', sizeof *info);
	memset(info->label, is("odd-text") ? 0xff : ' ', sizeof info->label);
	memcpy(info->model, "Faulty", 6);
	info->flags = CKF_TOKEN_INITIALIZED | CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED;
	info->ulMinPinLen = is("odd-text") ? (CK_ULONG)-1 : 4;
	info->ulMaxPinLen = is("odd-text") ? 2 : 8;
	return CKR_OK;
}

static CK_RV open_session(CK_SLOT_ID id, CK_FLAGS flags, void *app, CK_NOTIFY notify, CK_SESSION_HANDLE *session)
{
	(void)id; (void)flags; (void)app; (void)notify;
	*session = 1;
	return CKR_OK;
}

static CK_RV close_session(CK_SESSION_HANDLE session) { (void)session; return CKR_OK; }
static CK_RV logout(CK_SESSION_HANDLE session) { (void)session; return CKR_OK; }

static CK_RV find_objects_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, CK_ULONG count)
{
	(void)session;
	found = 0;
	wanted = 0;
	for (CK_ULONG i = 0; i < count; i++)
		if (template[i].type == CKA_CLASS) wanted = *(CK_OBJECT_CLASS *)template[i].pValue;
	return CKR_OK;
}

static CK_RV find_objects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects, CK_ULONG max, CK_ULONG *count)
{
	(void)session; (void)max;
	objects[0] = wanted + 1;
	*count = found++ ? 0 : 1;
	return CKR_OK;
}

static CK_RV find_objects_final(CK_SESSION_HANDLE session) { (void)session; return CKR_OK; }

static CK_RV get_attribute_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *template, CK_ULONG count)
{
	(void)session; (void)object;
	static CK_BYTE id[] = {1}, always[] = {1};
	for (CK_ULONG i = 0; i < count; i++) {
		CK_BYTE *value = id;
		CK_ULONG length = sizeof id;
		if (template[i].type == CKA_VALUE) { value = certificate; length = certificate_len; }
		if (template[i].type == CKA_ALWAYS_AUTHENTICATE) { value = always; length = sizeof always; }
		if (template[i].pValue) memcpy(template[i].pValue, value, length);
		template[i].ulValueLen = length;
	}
	return CKR_OK;
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_CHAR *pin, CK_ULONG length)
{
	(void)session; (void)pin; (void)length;
	FILE *f = fopen(getenv("LOGINS"), "a");
	if (f) { fprintf(f, "%lu\n", user); fclose(f); }
	if (is("second-login") && user == CKU_CONTEXT_SPECIFIC) return CKR_PIN_INCORRECT;
	if (is("unknown-code")) return 0x80000042;
	return CKR_OK;
}

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
	(void)session; (void)mechanism; (void)key;
	if (is("mechanism")) return CKR_MECHANISM_INVALID;
	return CKR_OK;
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG length, CK_BYTE *value, CK_ULONG *value_len)
{
	(void)session; (void)data; (void)length;
	if (is("sign-crash")) abort();
	if (is("sign-removed")) return CKR_DEVICE_REMOVED;
	if (is("sign-small-buffer")) { *value_len *= 2; return CKR_BUFFER_TOO_SMALL; }
	if (is("sign-long")) { *value_len = 5000; if (value) memset(value, 1, 64); return CKR_OK; }
	if (value) memset(value, 1, 96);
	*value_len = is("sign-odd") ? 95 : is("sign-empty") ? 0 : 96;
	return CKR_OK;
}

static CK_FUNCTION_LIST functions = {
	.version = {2, 40}, .C_Initialize = initialize, .C_Finalize = finalize, .C_GetSlotList = get_slot_list,
	.C_GetSlotInfo = get_slot_info, .C_GetTokenInfo = get_token_info, .C_OpenSession = open_session,
	.C_CloseSession = close_session, .C_Login = login, .C_Logout = logout, .C_FindObjectsInit = find_objects_init,
	.C_FindObjects = find_objects, .C_FindObjectsFinal = find_objects_final,
	.C_GetAttributeValue = get_attribute_value, .C_SignInit = sign_init, .C_Sign = sign,
};

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
	if (is("no-functions")) return CKR_GENERAL_ERROR;
	*list = &functions;
	return CKR_OK;
}
