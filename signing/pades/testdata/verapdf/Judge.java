import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.util.TreeSet;
import java.util.logging.Level;
import java.util.logging.LogManager;

import org.verapdf.gf.foundry.VeraGreenfieldFoundryProvider;
import org.verapdf.pdfa.Foundries;
import org.verapdf.pdfa.PDFAParser;
import org.verapdf.pdfa.PDFAValidator;
import org.verapdf.pdfa.flavours.PDFAFlavour;
import org.verapdf.pdfa.results.TestAssertion;
import org.verapdf.pdfa.results.ValidationResult;

/** Reads paths, one a line, and prints for each: path, flavour, verdict, broken rules. */
public class Judge {
    public static void main(String[] args) throws Exception {
        LogManager.getLogManager().reset();
        java.util.logging.Logger.getLogger("").setLevel(Level.OFF);
        VeraGreenfieldFoundryProvider.initialise();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        for (String path = in.readLine(); path != null; path = in.readLine()) {
            System.out.println(path + "\t" + judge(path, args.length > 0 ? args[0] : ""));
        }
    }

    static String judge(String path, String wanted) {
        try (PDFAParser parser = Foundries.defaultInstance().createParser(new File(path))) {
            PDFAFlavour flavour = wanted.isEmpty() ? parser.getFlavour() : PDFAFlavour.fromString(wanted);
            if (flavour == PDFAFlavour.NO_FLAVOUR) {
                return "none\t-\t";
            }
            PDFAValidator validator = Foundries.defaultInstance().createValidator(flavour, false);
            ValidationResult result = validator.validate(parser);
            TreeSet<String> broken = new TreeSet<>();
            for (TestAssertion a : result.getTestAssertions()) {
                broken.add(a.getRuleId().getClause() + "-" + a.getRuleId().getTestNumber());
            }
            return flavour.getId() + "\t" + (result.isCompliant() ? "pass" : "fail") + "\t" + String.join(" ", broken);
        } catch (Throwable e) {
            return "error\t-\t" + e.getClass().getSimpleName() + ": " + String.valueOf(e.getMessage()).replaceAll("\\s+", " ");
        }
    }
}
