"""Has python3-saml judge responses: settings as JSON, then files, as arguments.
Prints one JSON object a line: accepted, nameID, error."""
import base64
import json
import sys

from onelogin.saml2.response import OneLogin_Saml2_Response
from onelogin.saml2.settings import OneLogin_Saml2_Settings

given = json.loads(sys.argv[1])
settings = OneLogin_Saml2_Settings({
    'strict': True,
    'sp': {'entityId': given['sp'], 'assertionConsumerService': {'url': given['acs']}},
    'idp': {'entityId': given['idp'], 'singleSignOnService': {'url': given['idp']}, 'x509cert': given['certificate']},
})
request = {'https': 'on', 'http_host': given['acs'].split('/')[2], 'script_name': '/' + given['acs'].split('/', 3)[3], 'get_data': {}, 'post_data': {}}
for file in sys.argv[2:]:
    verdict = {'accepted': False, 'nameID': '', 'error': ''}
    try:
        with open(file, 'rb') as f:
            response = OneLogin_Saml2_Response(settings, base64.b64encode(f.read()))
        if response.is_valid(request, given['request']):
            verdict.update(accepted=True, nameID=response.get_nameid())
        else:
            verdict['error'] = response.get_error() or 'refused'
    except Exception as e:
        verdict['error'] = repr(e)
    print(json.dumps(verdict))
